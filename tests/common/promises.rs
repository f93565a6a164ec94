//! What a plan promises to whoever builds it.

use portunus::plan::{Gic, Plan};

/// Checks it; `text` is shown if it is not so.
pub fn check(plan: &Plan, text: &str) {
    let machine = &plan.machine;
    assert!(machine.ram.windows(2).all(|pair| pair[0].end() < pair[1].start()), "{text}");
    assert!(machine.modules.is_sorted(), "{text}");
    let mut load = vec![0; machine.cpus.len()];
    let limit = if matches!(machine.gic, Gic::V2 { .. }) { 8 } else { 128 };
    for domain in &plan.domains {
        assert!((1..=255).contains(&domain.id.get()), "{text}");
        assert!(domain.memory % 4096 == 0 && domain.memory >= 2 << 20, "{text}");
        assert!((1..=limit).contains(&domain.vcpus.len()), "{text}");
        for (index, vcpu) in domain.vcpus.iter().enumerate() {
            assert_eq!(vcpu.id.index(), index, "{text}");
            load[vcpu.home.index()] += 1;
        }
        for image in domain.ramdisk.iter().chain([&domain.kernel.image]) {
            assert!(!image.is_empty() && machine.ram.iter().any(|bank| bank.covers(image)), "{text}");
            assert!(machine.modules.binary_search(image).is_ok(), "{text}");
        }
        assert!(domain.cmdline.len() < 1024 && domain.spis % 32 == 0 && domain.spis <= 960, "{text}");
    }
    assert!(load.iter().all(|vcpus| *vcpus <= 64), "{text}");
    let total: u64 = plan.domains.iter().map(|domain| domain.memory).sum();
    assert!(total <= machine.ram.iter().map(|bank| bank.size()).sum(), "{text}");
    let mut ports: Vec<_> = plan.channels.iter().flat_map(|channel| channel.ends).collect();
    for end in &ports {
        assert!((1..4096).contains(&end.port.get()), "{text}");
        assert!(plan.domains.iter().any(|domain| domain.id == end.domain), "{text}");
    }
    let count = ports.len();
    ports.sort_by_key(|end| (end.domain, end.port));
    ports.dedup();
    assert_eq!(ports.len(), count, "a port in two channels:\n{text}");
    for domain in &plan.domains {
        let mut names: Vec<_> = plan.channels_of(domain.id).map(|channel| channel.name).collect();
        assert!(names.iter().all(|name| !name.is_empty() && name.len() <= 31), "{text}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name for two channels:\n{text}");
    }
}
