//! Kernels as the hypervisor will read them: a file that it cannot start is found here.

use std::fs;

use portunus::domain::gzip::Workspace;
use portunus::domain::image;

use super::partition::{Domain, Partition};
use super::report::Problem;

/// What is wrong with the kernels of a partition.
pub fn check(partition: &Partition) -> Vec<Problem> {
    let mut workspace = None;
    let with_header = partition.domains.iter().filter(|domain| !domain.raw);
    with_header.filter_map(|domain| check_one(domain, &mut workspace)).collect()
}

fn check_one(domain: &Domain, workspace: &mut Option<Workspace>) -> Option<Problem> {
    let bytes = fs::read(&domain.kernel.value.path).ok()?;
    let why = image::File::open(&bytes, domain.memory.value, workspace).err()?;
    let help =
        "an arm64 Image is wanted, plain or compressed by gzip; for a file without a header say raw = true";
    Some(Problem::new("kernel that cannot be started", &domain.kernel.at, why, help))
}
