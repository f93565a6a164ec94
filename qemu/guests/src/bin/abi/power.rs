//! HVC #0 and SMC #0: PSCI and the SMC calling convention.

use portunus_guests::verdict::{Verdict, Want, both, split};
use portunus_rt::{cpu, psci, read_sysreg, timer};

const NOT_SUPPORTED: i64 = -1;
const INVALID: i64 = -2;

/// Function, x1 to x3, answer in w0.
type Row = (u64, [u64; 3], Want);

const ROWS: [Row; 34] = [
    (0x8000_0000, [0; 3], split(0x1_0002, 0x1_0001)), // SMCCC_VERSION
    (0x8000_0001, [0x8000_0000, 0, 0], both(NOT_SUPPORTED)), // ARCH_FEATURES
    (0x8000_0001, [0x8000_0001, 0, 0], both(NOT_SUPPORTED)),
    (0x8000_0001, [0x1234, 0, 0], both(NOT_SUPPORTED)),
    (0x8400_0000, [0; 3], both(0x1_0001)),       // PSCI_VERSION
    (0x8400_000a, [0x8400_0000, 0, 0], both(0)), // PSCI_FEATURES, of everything that is offered
    (0x8400_000a, [0x8400_0001, 0, 0], both(0)),
    (0x8400_000a, [0xc400_0001, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0002, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0003, 0, 0], both(0)),
    (0x8400_000a, [0xc400_0003, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0004, 0, 0], both(0)),
    (0x8400_000a, [0xc400_0004, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0006, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0008, 0, 0], both(0)),
    (0x8400_000a, [0x8400_0009, 0, 0], both(0)),
    (0x8400_000a, [0x8400_000a, 0, 0], both(0)),
    (0x8400_000a, [0x8000_0000, 0, 0], both(0)),
    (0x8400_000a, [0x8000_0001, 0, 0], both(NOT_SUPPORTED)),
    (0x8400_000a, [0x8400_0005, 0, 0], both(NOT_SUPPORTED)), // MIGRATE
    (0x8400_000a, [0x8400_000e, 0, 0], both(NOT_SUPPORTED)), // SYSTEM_SUSPEND
    (0x8400_000a, [0xc400_0012, 0, 0], both(NOT_SUPPORTED)), // SYSTEM_RESET2
    (0x8400_0006, [0; 3], both(2)),                          // MIGRATE_INFO_TYPE
    (0xc400_0003, [0, 0x4000_0000, 0], both(-4)),            // CPU_ON of a vCPU that is on
    (0x8400_0003, [0, 0x4000_0000, 0], both(-4)),
    (0xc400_0003, [0x0f00, 0x4000_0000, 0], both(INVALID)), // CPU_ON of nobody
    (0xc400_0003, [0, 0x4000_0001, 0], both(-9)),           // CPU_ON at an odd address
    (2, [0, 0x4000_0000, 0], both(INVALID)),                // CPU_ON of PSCI 0.1
    (0xc400_0004, [0, 0, 0], both(0)),                      // AFFINITY_INFO
    (0x8400_0004, [0, 0, 0], both(0)),
    (0xc400_0004, [0, 3, 0], both(0)),
    (0xc400_0004, [0, 4, 0], both(INVALID)),
    (0xc400_0004, [0x0f00, 0, 0], both(1)),
    (0x8500_ff00, [0; 3], both(3)), // calls of the hypervisor's own service
];

/// Functions that nobody offers.
const UNKNOWN: [u64; 12] = [
    0x8400_0005,
    0x8400_0007,
    0xc400_0012,
    0xc400_0000,
    0x8400_00ff,
    0x8500_ff02,
    0x8600_ff01,
    0x8300_0000,
    0xc200_0001,
    0xbf00_ff01,
    0x8000_1234,
    0xffff_ffff,
];

/// A call of the convention.
type Conduit = fn([u64; 4]) -> [u64; 4];

pub fn check(v: &mut Verdict) {
    const CONDUITS: [(&str, Conduit); 2] = [("HVC", psci::smccc), ("SMC", psci::smccc_by_smc)];
    for (name, call) in CONDUITS {
        for (function, [x1, x2, x3], want) in ROWS {
            let got = i64::from(call([function, x1, x2, x3])[0] as i32);
            v.check(format_args!("{name} {function:#x}({x1:#x}, {x2:#x})"), got, want);
        }
        for function in UNKNOWN {
            let got = call([function, 0, 0, 0])[0] as i64;
            v.check(format_args!("{name} {function:#x}"), got, both(NOT_SUPPORTED));
        }
        let [revision, minor, ..] = call([0x8500_ff03, 9, 9, 9]);
        v.check(format_args!("{name} revision"), (revision << 32 | minor) as i64, both(1));
        let uid = call([0x8500_ff01, 0, 0, 0]);
        for (got, want) in uid.iter().zip([0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d]) {
            v.check(format_args!("{name} UID"), *got as i64 & 0xffff_ffff, both(want));
        }
        suspend(v, name, call);
    }
}

/// CPU_SUSPEND is a WFI: the next interrupt ends it and is then pending. Anything else may end it earlier.
fn suspend(v: &mut Verdict, name: &str, call: Conduit) {
    for function in [0x8400_0001, 0xc400_0001] {
        cpu::mask_irqs();
        timer::start(timer::microseconds(500));
        let got = i64::from(call([function, 0x1_0000, 0x4000_0001, 7])[0] as i32);
        v.check(format_args!("{name} CPU_SUSPEND {function:#x}"), got, both(0));
        const IRQ: u64 = 1 << 7;
        v.holds(
            format_args!("{name} CPU_SUSPEND ends with an interrupt"),
            read_sysreg!("isr_el1") & IRQ != 0,
        );
        cpu::unmask_irqs();
        timer::spin_until(1, || read_sysreg!("cntv_ctl_el0") & 1 == 0);
    }
}
