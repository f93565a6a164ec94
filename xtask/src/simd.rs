//! EL2 never touches the guests' FP and SIMD registers: no such instruction may be in the image.
//!
//! The soft-float target keeps the compiler from it; this looks at what was really built. Only the top-level decode
//! of A64 is needed (Arm ARM DDI 0487, C4.1): bits 28:25 say what class an instruction is in, and for loads and stores
//! bit 26 says which register file.

/// Whether `instruction` uses the FP/SIMD register file (or SVE's, which contains it).
fn uses_simd(instruction: u32) -> bool {
    let class = instruction >> 25 & 0xf;
    let is_load_or_store = class & 0b0101 == 0b0100;
    let is_data_processing = class & 0b0111 == 0b0111;
    let is_sve = class == 0b0010;
    is_data_processing || is_sve || (is_load_or_store && instruction >> 26 & 1 == 1)
}

/// Bytes of the arm64 Image header, whose fields are no instructions.
const HEADER: usize = 64;

/// Offsets in `text` of the instructions that use FP or SIMD registers.
pub fn offences(text: &[u8]) -> Vec<usize> {
    text.chunks_exact(4)
        .enumerate()
        .skip(HEADER / 4)
        .filter(|(_, word)| (*word).try_into().is_ok_and(|word| uses_simd(u32::from_le_bytes(word))))
        .map(|(index, _)| 4 * index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simd_is_told_from_the_rest() {
        let simd =
            [0x1e60_2800, 0x3dc0_0000, 0x9e67_0000, 0x4e20_1c00, 0xad40_0400, 0x0420_0000, 0x6d40_0400];
        assert!(simd.iter().all(|instruction| uses_simd(*instruction)));
        // add, ldr, stp, b, mrs, ldaxr, adrp, hvc, eret
        let plain = [
            0x8b01_0000,
            0xf940_0000,
            0xa940_0400,
            0x1400_0000,
            0xd538_0000,
            0xc85f_fc00,
            0x9000_0000,
            0xd400_0002,
            0xd69f_03e0,
        ];
        assert!(plain.iter().all(|instruction| !uses_simd(*instruction)));
    }
}
