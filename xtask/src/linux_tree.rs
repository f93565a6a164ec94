//! The source of a tree with Linux domains and channels, for the scenarios: what `qemu/trees/linux.dts` shows by hand.

use std::fmt::Write;

/// A Linux domain.
#[derive(Clone)]
pub struct Domain {
    /// Name of its node, and what it puts before its lines.
    pub name: String,
    /// The module that is its kernel.
    pub kernel: String,
    /// The module that is its ramdisk.
    pub ramdisk: String,
    /// Memory in MiB.
    pub memory: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// What `/init` is told, behind `console=ttyAMA0 portunus.name=`.
    pub roles: String,
    /// More properties of its node, each with its semicolon.
    pub properties: String,
}

/// A channel: the index of a domain with its port, twice.
pub type Channel = [(usize, u32); 2];

/// A seed for random numbers, as QEMU and boot loaders put one into a machine's tree; always the same here.
const SEED: &str = "d29f5f8c0c5e4f3b6a8e1d7790b3c4a5162738495a6b7c8d9eafb0c1d2e3f405";

/// The fragment for dtc, with `MODULE(...)` still in it.
pub fn source(domains: &[Domain], channels: &[Channel]) -> String {
    let mut text = String::from(
        "/ {\n\tchosen {\n\t\t#address-cells = <2>;\n\t\t#size-cells = <2>;\n\
         \t\txen,xen-bootargs = \"console=dtuart\";\n",
    );
    let _ = writeln!(text, "\t\trng-seed = [{SEED}];");
    for (index, domain) in domains.iter().enumerate() {
        text.push_str(&node(domain, &halves(index, channels)));
    }
    text.push_str("\t};\n};\n");
    text
}

fn node(domain: &Domain, halves: &str) -> String {
    let Domain { name, kernel, ramdisk, memory, vcpus, roles, properties } = domain;
    let kib = memory * 1024;
    format!(
        r#"
		{name} {{
			compatible = "xen,domain";
			#address-cells = <2>;
			#size-cells = <2>;
			memory = <{:#x} {:#x}>;
			cpus = <{vcpus}>;
			vpl011;
			xen,enhanced = "no-xenstore";
			{properties}
			kernel {{
				compatible = "multiboot,kernel", "multiboot,module";
				reg = <MODULE({kernel})>;
				bootargs = "console=ttyAMA0 portunus.name={name} {roles}";
			}};
			ramdisk {{
				compatible = "multiboot,ramdisk", "multiboot,module";
				reg = <MODULE({ramdisk})>;
			}};
{halves}		}};
"#,
        kib >> 32,
        kib & 0xffff_ffff
    )
}

/// The ends of channels that domain `index` has, in the form that Xen merged.
fn halves(index: usize, channels: &[Channel]) -> String {
    let mut text = String::new();
    for (channel, ends) in channels.iter().enumerate() {
        for (end, (domain, port)) in ends.iter().enumerate() {
            if *domain == index {
                let _ = writeln!(
                    text,
                    "\t\t\tc{channel}e{end}: channel{channel}e{end} {{ compatible = \"xen,evtchn-v1\"; \
                     xen,evtchn = <{port} &c{channel}e{}>; }};",
                    1 - end
                );
            }
        }
    }
    text
}
