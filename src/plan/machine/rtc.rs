//! The clock of the machine: which word says what time it is.

use crate::addr::PaSpan;
use crate::fdt::Tree;

/// Clocks that count the seconds of UTC since 1970 in a word.
const CLOCKS: [&str; 2] = ["arm,pl031", "xlnx,zynqmp-rtc"];
/// Where it is: RTCDR (Arm DDI 0224, section 3.3.1), and CURRENT_TIME (Xilinx UG1087, module RTC).
const WORDS: [u64; 2] = [0, 0x10];

/// The word with the seconds, of the first clock that is known.
#[must_use]
pub fn clock(tree: &Tree<'_>) -> Option<PaSpan> {
    tree.find_map(|node| {
        let offset = WORDS.get(node.which_of(&CLOCKS).filter(|_| node.is_okay())?)?;
        let registers = node.mmio(0).ok()?;
        let word = PaSpan::new(registers.start().checked_add(*offset)?, 4)?;
        (registers.covers(&word) && word.start().is_aligned(4)).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Pa;
    use crate::fdt::write::Writer;

    fn found(compatible: &str, reg: [u64; 2]) -> Option<PaSpan> {
        let mut tree = Writer::new(Vec::with_capacity(512)).unwrap();
        tree.begin("").unwrap();
        tree.cells("#address-cells", &[2]).unwrap();
        tree.cells("#size-cells", &[2]).unwrap();
        tree.begin("clock").unwrap();
        tree.text("compatible", &[compatible]).unwrap();
        tree.numbers("reg", &reg).unwrap();
        tree.end().unwrap();
        tree.end().unwrap();
        let blob = tree.finish().unwrap();
        clock(&Tree::parse(&blob).unwrap())
    }

    #[test]
    fn the_word_of_a_known_clock_is_found_and_nothing_else_is() {
        let word = |at| PaSpan::new(Pa::new(at), 4);
        assert_eq!(found("arm,pl031", [0x901_0000, 0x1000]), word(0x901_0000));
        assert_eq!(found("xlnx,zynqmp-rtc", [0xffa6_0000, 0x100]), word(0xffa6_0010));
        assert_eq!(found("xlnx,zynqmp-rtc", [0xffa6_0000, 0x10]), None, "the word is not the clock's");
        assert_eq!(found("arm,pl031", [0x901_0001, 0x1000]), None);
        assert_eq!(found("arm,pl030", [0x901_0000, 0x1000]), None);
    }
}
