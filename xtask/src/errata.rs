//! Cortex-A53 erratum 835769: a 64-bit multiply-accumulate right behind a load, a store or a prefetch may compute with a
//! wrong value. (Arm's Cortex-A53 errata notice, which names revisions up to r0p4; the ZCU102 has that one.) The compiler
//! puts something between the two if it is asked to (image.rs); this looks at what was really built.
//!
//! Only the top-level decode of A64 is needed (Arm ARM DDI 0487, C4.1).

/// Offsets in `text` of multiply-accumulates that stand right behind an access to memory.
pub fn offences(text: &[u8]) -> Vec<usize> {
    let words: Vec<u32> = text.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let pairs = words.windows(2).enumerate();
    pairs
        .filter(
            |(_, pair)| matches!(pair, [first, second] if accesses_memory(*first) && accumulates(*second)),
        )
        .map(|(index, _)| 4 * (index + 1))
        .collect()
}

fn accesses_memory(instruction: u32) -> bool {
    instruction >> 25 & 0b0101 == 0b0100
}

/// MADD, MSUB, SMADDL, SMSUBL, UMADDL and UMSUBL of 64 bits, with something to add: without, they are multiplications.
fn accumulates(instruction: u32) -> bool {
    const XZR: u32 = 31;
    instruction >> 24 == 0x9b && matches!(instruction >> 21 & 7, 0 | 1 | 5) && instruction >> 10 & 31 != XZR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_accumulation_right_behind_an_access_offends() {
        let (ldr, stp, add) = (0xf940_1108, 0xa900_5f38, 0x8b01_0000);
        let (umaddl, madd, mul, madd_32) = (0x9baa_242a, 0x9b09_2281, 0x9b09_7c08, 0x1b09_2281);
        let words: [u32; 11] = [ldr, umaddl, stp, madd, ldr, mul, ldr, madd_32, ldr, add, madd];
        let text: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(offences(&text), [4, 12]);
    }
}
