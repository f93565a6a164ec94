//! What a partition file says, checked as far as one file alone can be.
//!
//! Everything keeps its place in the file, so that what the plan of the hypervisor finds wrong with the tree that is made
//! of it can be shown there.

use std::path::PathBuf;

use super::report::Spot;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: Spot,
}

/// A partition of a machine.
#[derive(Debug, Default)]
pub struct Partition {
    /// QEMU's virt, where that is the machine.
    pub virt: Virt,
    /// The RAM of the Raspberry Pi in bytes, if it is said.
    pub rpi4: Option<At<u64>>,
    /// What the hypervisor is told on its command line.
    pub options: Vec<At<String>>,
    /// The domains, in the order of the file.
    pub domains: Vec<Domain>,
    /// The channels, in the order of the file.
    pub channels: Vec<Channel>,
}

/// QEMU's virt as it is wanted. Boards are what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Virt {
    /// CPUs.
    pub cpus: u32,
    /// RAM in bytes.
    pub memory: u64,
    /// Its CPU model.
    pub cpu: String,
}

impl Default for Virt {
    fn default() -> Self {
        Self { cpus: 2, memory: 1 << 30, cpu: "cortex-a57".into() }
    }
}

/// A file for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

/// A domain.
#[derive(Debug)]
pub struct Domain {
    /// Its name, of which its node is made, and where the domain is in the file.
    pub name: At<String>,
    /// Its kernel.
    pub kernel: At<File>,
    /// Whether the kernel is a file without a header.
    pub raw: bool,
    /// Its ramdisk.
    pub ramdisk: Option<At<File>>,
    /// Its command line.
    pub bootargs: Option<At<String>>,
    /// Its memory in bytes.
    pub memory: At<u64>,
    /// Its vCPUs.
    pub vcpus: At<u32>,
    /// Where vCPUs may live, by number, as the tree writes it.
    pub affinity: Vec<At<String>>,
    /// Whether it has a console.
    pub console: bool,
    /// Whether its tree says that there is a hypervisor.
    pub hypervisor_node: bool,
    /// SPIs of its interrupt controller.
    pub spis: Option<At<u32>>,
    /// What becomes of it when it ends, by the names that the tree has for it.
    pub policies: Vec<(&'static str, At<String>)>,
    /// How often it may start again: so many times, and in how many seconds.
    pub max_restarts: Vec<At<u32>>,
    /// Milliseconds before it starts again.
    pub restart_delay: Option<At<u32>>,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    /// Its name.
    pub name: At<String>,
    /// Which way events go, as its first end sees it, if it is said.
    pub direction: Option<At<String>>,
    /// Its two ends.
    pub ends: [End; 2],
}

/// One end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Index of the domain.
    pub domain: usize,
    /// The port there.
    pub port: u32,
    /// Where the end is named in the file.
    pub at: Spot,
}
