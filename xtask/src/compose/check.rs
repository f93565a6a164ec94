//! The finished tree through the plan of the hypervisor: the very code that will read it on the machine. What it finds is
//! shown at the place in the partition file where it comes from.

use portunus::addr::{CpuId, Pa, PaSpan};
use portunus::fdt::Tree;
use portunus::plan::{self, Code, Diagnostic, Diagnostics, Plan};

use super::nodes::Node;
use super::report::{Problem, Spot};
use crate::report::Level;

/// Plans `blob` for a machine whose boot loader puts the hypervisor, `image` bytes, at `address`; what is wrong is added
/// to `problems`.
pub fn plan(
    blob: &mut [u8],
    image: (u64, u64),
    chosen: &Node,
    problems: &mut Vec<Problem>,
) -> Result<Option<Plan>, String> {
    let tree = Tree::parse(blob).map_err(|error| format!("the composed tree cannot be read: {error}"))?;
    let mut diagnostics = Diagnostics::new();
    let machine = plan::machine(&tree, &mut diagnostics);
    let plan = machine.map(|mut machine| {
        machine.reserved.extend(PaSpan::new(Pa::new(image.0), image.1));
        let online: Vec<CpuId> = machine.cpus.iter().map(|cpu| cpu.id).collect();
        plan::domains(&tree, &machine, &online, &mut diagnostics)
    });
    // A channel has a name here in any case: that a domain without a /hypervisor node does not see it was not asked.
    let worth_saying = diagnostics.kept().iter().filter(|diagnostic| diagnostic.code != Code::NameUnseen);
    problems.extend(worth_saying.map(|diagnostic| problem(diagnostic, chosen)));
    Ok(plan)
}

fn problem(diagnostic: &Diagnostic, chosen: &Node) -> Problem {
    let level = match diagnostic.severity() {
        plan::Severity::Error => Level::Error,
        plan::Severity::Warning => Level::Warning,
        plan::Severity::Note => Level::Note,
    };
    let property = diagnostic.property.as_deref();
    let at = place(chosen, &diagnostic.path, property);
    // Where it stands in the tree, for those whose place in the file is not known, or who look at the tree.
    let of = property.map_or_else(String::new, |property| format!(", property {property}"));
    let what = match at {
        Some(_) => diagnostic.what.clone(),
        None => format!("{} (in the tree: {}{of})", diagnostic.what, diagnostic.path),
    };
    Problem {
        level,
        code: diagnostic.code.to_string(),
        title: diagnostic.code.title().into(),
        at,
        what,
        help: diagnostic.help.clone(),
    }
}

/// Where in the partition file a node, or its property, comes from.
fn place(chosen: &Node, path: &str, property: Option<&str>) -> Option<Spot> {
    let mut names = path.strip_prefix("/chosen")?.split('/').skip(1);
    let node = names.try_fold(chosen, |node, name| node.children.iter().find(|child| child.name == name))?;
    let own = node.properties.iter().find(|(name, ..)| Some(*name) == property).map(|(.., at)| at);
    let at = own.unwrap_or(&node.at).clone();
    (!at.is_empty()).then_some(at)
}
