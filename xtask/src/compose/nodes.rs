//! What a partition adds to a machine's tree, as nodes: the one source of the tree and of the script that makes it.

use super::partition::{Channel, Domain, Partition};
use super::report::Spot;

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It is there.
    Flag,
    /// Texts.
    Texts(Vec<String>),
    /// 32-bit numbers.
    Cells(Vec<u32>),
    /// Address and size of a file, by its number, in two cells each.
    Module(usize),
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its properties with their values, and where in the partition file they come from.
    pub properties: Vec<(&'static str, Value, Spot)>,
    /// Nodes in it.
    pub children: Vec<Node>,
    /// Where in the partition file it comes from.
    pub at: Spot,
}

impl Node {
    fn new(name: impl Into<String>, at: &Spot) -> Self {
        Self { name: name.into(), properties: Vec::new(), children: Vec::new(), at: at.clone() }
    }

    fn set(&mut self, name: &'static str, value: Value, at: &Spot) {
        self.properties.push((name, value, at.clone()));
    }
}

fn texts(texts: &[&str]) -> Value {
    Value::Texts(texts.iter().map(ToString::to_string).collect())
}

/// Phandles are given out from here downwards: dtc, QEMU and U-Boot count up from 1.
const PHANDLES: u32 = 0xffff_fff0;

/// The node `/chosen`. `module` gives the number of the file at a path; the same path, the same number.
pub fn chosen(partition: &Partition, module: &mut dyn FnMut(&super::partition::File) -> usize) -> Node {
    let mut chosen = Node::new("chosen", &(0..0));
    chosen.set("#address-cells", Value::Cells(vec![2]), &(0..0));
    chosen.set("#size-cells", Value::Cells(vec![2]), &(0..0));
    let words: Vec<&str> = partition.options.iter().map(|option| option.value.as_str()).collect();
    let at = partition.options.first().map_or(0..0, |option| option.at.clone());
    // Present even if it is empty: without it Xen's rules take /chosen/bootargs for the options.
    chosen.set("xen,xen-bootargs", texts(&[&words.join(" ")]), &at);
    for (index, domain) in partition.domains.iter().enumerate() {
        let mut node = self::domain(domain, module);
        for (number, channel) in partition.channels.iter().enumerate() {
            node.children.extend(ends(number, channel, index));
        }
        chosen.children.push(node);
    }
    chosen
}

fn domain(domain: &Domain, module: &mut dyn FnMut(&super::partition::File) -> usize) -> Node {
    let mut node = Node::new(&domain.name.value, &domain.name.at);
    let at = domain.name.at.clone();
    node.set("compatible", texts(&["xen,domain"]), &at);
    node.set("#address-cells", Value::Cells(vec![2]), &at);
    node.set("#size-cells", Value::Cells(vec![2]), &at);
    let kib = domain.memory.value / 1024;
    node.set("memory", Value::Cells(vec![(kib >> 32) as u32, kib as u32]), &domain.memory.at);
    node.set("cpus", Value::Cells(vec![domain.vcpus.value]), &domain.vcpus.at);
    if domain.console {
        node.set("vpl011", Value::Flag, &at);
    }
    if domain.hypervisor_node {
        node.set("xen,enhanced", texts(&["no-xenstore"]), &at);
    }
    if let Some(spis) = &domain.spis {
        node.set("nr_spis", Value::Cells(vec![spis.value]), &spis.at);
    }
    for (property, policy) in &domain.policies {
        node.set(property, texts(&[&policy.value]), &policy.at);
    }
    if let [first, ..] = domain.max_restarts.as_slice() {
        let cells = domain.max_restarts.iter().map(|number| number.value).collect();
        node.set("portunus,max-restarts", Value::Cells(cells), &first.at);
    }
    if let Some(delay) = &domain.restart_delay {
        node.set("portunus,restart-delay", Value::Cells(vec![delay.value]), &delay.at);
    }
    let mut kernel = Node::new("kernel", &domain.kernel.at);
    kernel.set("compatible", texts(&["multiboot,kernel", "multiboot,module"]), &domain.kernel.at);
    kernel.set("reg", Value::Module(module(&domain.kernel.value)), &domain.kernel.at);
    if domain.raw {
        kernel.set("portunus,raw", Value::Flag, &domain.kernel.at);
    }
    if let Some(bootargs) = &domain.bootargs {
        kernel.set("bootargs", texts(&[&bootargs.value]), &bootargs.at);
    }
    node.children.push(kernel);
    if let Some(file) = &domain.ramdisk {
        let mut ramdisk = Node::new("ramdisk", &file.at);
        ramdisk.set("compatible", texts(&["multiboot,ramdisk", "multiboot,module"]), &file.at);
        ramdisk.set("reg", Value::Module(module(&file.value)), &file.at);
        node.children.push(ramdisk);
    }
    for (id, affinity) in domain.affinity.iter().enumerate() {
        let mut vcpu = Node::new(format!("vcpu{id}"), &affinity.at);
        vcpu.set("compatible", texts(&["xen,vcpu"]), &affinity.at);
        vcpu.set("id", Value::Cells(vec![id as u32]), &affinity.at);
        vcpu.set("hard-affinity", texts(&[&affinity.value]), &affinity.at);
        node.children.push(vcpu);
    }
    node
}

/// The ends of channel `number` that are in the domain with this index: in the form that Xen merged, so that the tree
/// serves both.
fn ends(number: usize, channel: &Channel, domain: usize) -> Vec<Node> {
    let phandle = |end: usize| PHANDLES - (number * 2 + end) as u32;
    let own = channel.ends.iter().enumerate().filter(|(_, end)| end.domain == domain);
    own.map(|(index, end)| {
        // A channel of a domain with itself has two nodes there.
        let suffix = if index == 1 && channel.ends[0].domain == domain { "-back" } else { "" };
        let mut node = Node::new(format!("channel-{}{suffix}", channel.name.value), &end.at);
        node.set("compatible", texts(&["xen,evtchn-v1"]), &end.at);
        node.set("phandle", Value::Cells(vec![phandle(index)]), &end.at);
        node.set("xen,evtchn", Value::Cells(vec![end.port, phandle(1 - index)]), &end.at);
        let name = format!("{}{suffix}", channel.name.value);
        node.set("portunus,name", texts(&[&name]), &channel.name.at);
        // The other half's is the opposite of it.
        if let (0, Some(direction)) = (index, &channel.direction) {
            node.set("portunus,direction", texts(&[&direction.value]), &direction.at);
        }
        node
    })
    .collect()
}
