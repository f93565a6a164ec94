//! Every system register there could be, and the instructions that call somebody else.

use portunus_guests::random::Random;
use portunus_rt::probe::{mrs, msr, run};
use portunus_rt::{gic, println};

use crate::Tally;

const UNDEFINED: u64 = 0x00;
const FP: u64 = 0x07;
const TRAPPED: u64 = 0x18;
const DATA_ABORT: u64 = 0x25;
/// Numbers of system registers: op0 in bits 15:14, op1 13:11, CRn 10:7, CRm 6:3, op2 2:0. Those below have op0 0 or 1:
/// instructions.
const REGISTERS: core::ops::Range<u32> = 2 << 14..4 << 14;
/// The instructions among the encodings that do something to an address or to a cache: op0 = 1.
const OPERATIONS: core::ops::Range<u32> = 1 << 14..2 << 14;

const fn op1(register: u32) -> u32 {
    register >> 11 & 7
}

const fn crn(register: u32) -> u32 {
    register >> 7 & 0xf
}

const fn crm(register: u32) -> u32 {
    register >> 3 & 0xf
}

/// Reads all of them. Only the interrupt acknowledge registers are left out, because reading them changes something.
pub fn read_all(tally: &mut Tally) {
    for register in REGISTERS {
        let is_acknowledge =
            register >> 14 == 3 && crn(register) == 12 && matches!(register & 0x7f, 0x40 | 0x60);
        if !is_acknowledge {
            let what = format_args!("mrs of {register:#x}");
            tally.may_fault(what, &[UNDEFINED, FP, TRAPPED], || run(mrs(register), 0));
        }
    }
}

/// Writes those that this domain does not stand on itself, and does the operations on caches and TLBs.
pub fn write_all(tally: &mut Tally) {
    let mut random = Random::new(0x0a11_0c8d);
    for register in REGISTERS {
        // SCTLR and its like, tables, SPSR and ELR and PSTATE, MAIR, VBAR, TPIDR.
        let own = register >> 14 == 3 && matches!(crn(register), 1 | 2 | 4 | 10 | 13) && op1(register) != 4;
        let vectors = register >> 14 == 3 && crn(register) == 12 && crm(register) == 0;
        if own || vectors {
            continue;
        }
        for value in [0, random.word()] {
            let what = format_args!("msr of {register:#x}");
            tally.may_fault(what, &[UNDEFINED, FP, TRAPPED], || run(msr(register), value));
        }
    }
    for operation in OPERATIONS {
        for value in [0, random.word() & 0x7f_ffff_ffff | 1 << 38] {
            let what = format_args!("sys {operation:#x}");
            let allowed = [UNDEFINED, TRAPPED, DATA_ABORT];
            tally.may_fault(what, &allowed, || run(msr(operation), value));
        }
    }
    // The timers and the CPU interface were written to.
    for register in ["CNTV_CTL", "CNTP_CTL"] {
        let number = if register == "CNTV_CTL" { 0xdf19 } else { 0xdf11 };
        tally.may_fault(format_args!("{register} = 0"), &[UNDEFINED], || run(msr(number), 0));
    }
    gic::reset();
    portunus_rt::cpu::mask_irqs();
    println!("intruder: every register written");
}

/// HVC, SMC and their like with immediates that mean nothing.
pub fn calls(tally: &mut Tally) {
    const HVC: u32 = 0xd400_0002;
    const SMC: u32 = 0xd400_0003;
    const HLT: u32 = 0xd440_0000;
    const DCPS: u32 = 0xd4a0_0001;
    let mut random = Random::new(7);
    for _ in 0..500 {
        let immediate = random.below(0xffff) as u32 + 1;
        if immediate == 0xea1 {
            continue;
        }
        for (name, word) in [("hvc", HVC), ("smc", SMC), ("hlt", HLT)] {
            let instruction = word | immediate << 5;
            tally.must_fault(format_args!("{name} #{immediate:#x}"), UNDEFINED, None, || run(instruction, 0));
        }
    }
    for level in 0..3 {
        tally.must_fault(format_args!("dcps{}", level + 1), UNDEFINED, None, || run(DCPS + level, 0));
    }
    // A word of zeros, and some of the space that nothing is allocated in.
    for word in [0, 0x1234, 0xffff, 0x6000_0000, 0xe7ff_ffff] {
        tally.must_fault(format_args!("instruction {word:#x}"), UNDEFINED, None, || run(word, 0));
    }
}
