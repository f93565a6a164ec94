//! Trees are made by hand here, token by token, so that they can be wrong in every way.

use super::*;
use crate::addr::IntId;

const BEGIN: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// A blob in the making.
#[derive(Clone, Default)]
struct Blob {
    structs: Vec<u8>,
    strings: Vec<u8>,
    reserved: Vec<(u64, u64)>,
}

impl Blob {
    fn token(mut self, token: u32) -> Self {
        self.structs.extend(token.to_be_bytes());
        self
    }
    fn pad(mut self) -> Self {
        self.structs.resize(self.structs.len().next_multiple_of(4), 0);
        self
    }
    fn begin(self, name: &str) -> Self {
        let mut this = self.token(BEGIN);
        this.structs.extend(name.as_bytes());
        this.structs.push(0);
        this.pad()
    }
    fn end(self) -> Self {
        self.token(END_NODE)
    }
    fn prop(mut self, name: &str, value: &[u8]) -> Self {
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        let mut this = self.token(PROP).token(value.len() as u32).token(at);
        this.structs.extend(value);
        this.pad()
    }
    fn cells(self, name: &str, cells: &[u32]) -> Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.prop(name, &value)
    }
    fn reserve(mut self, address: u64, size: u64) -> Self {
        self.reserved.push((address, size));
        self
    }
    /// The whole blob: header, reservations, structure, strings.
    fn build(self) -> Vec<u8> {
        let mut reserved: Vec<u8> = Vec::new();
        for (address, size) in self.reserved.iter().chain(&[(0, 0)]) {
            reserved.extend(address.to_be_bytes());
            reserved.extend(size.to_be_bytes());
        }
        let structs_at = 40 + reserved.len();
        let strings_at = structs_at + self.structs.len();
        let total = strings_at + self.strings.len();
        let header = [
            0xd00d_feed,
            total as u32,
            structs_at as u32,
            strings_at as u32,
            40,
            17,
            16,
            0,
            self.strings.len() as u32,
            self.structs.len() as u32,
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|field: &u32| field.to_be_bytes()).collect();
        blob.extend(reserved);
        blob.extend(&self.structs);
        blob.extend(&self.strings);
        blob
    }
    /// Closes the root and builds.
    fn finish(self) -> Vec<u8> {
        self.end().token(END).build()
    }
}

fn root() -> Blob {
    Blob::default().begin("")
}

fn check(blob: &[u8]) -> Result<usize, FdtError> {
    Tree::validate(blob)
}

fn with_field(mut blob: Vec<u8>, at: usize, value: u32) -> Vec<u8> {
    blob[at..at + 4].copy_from_slice(&value.to_be_bytes());
    blob
}

#[test]
fn the_smallest_tree_is_a_root() {
    let blob = root().finish();
    assert_eq!(check(&blob), Ok(blob.len()));
    let tree = Tree::parse(&blob).unwrap();
    assert_eq!(tree.root().unwrap().to_string(), "/");
    assert_eq!(tree.reservations().count(), 0);
}

#[test]
fn a_blob_cut_off_anywhere_is_refused() {
    let blob = root().cells("a", &[1]).begin("b").end().finish();
    for length in 0..blob.len() {
        assert!(matches!(check(&blob[..length]), Err(FdtError::Truncated { .. })), "{length}");
    }
}

#[test]
fn headers_that_lie_are_refused() {
    let blob = || root().cells("a", &[1]).finish();
    assert_eq!(check(&with_field(blob(), 0, 0xdead_beef)), Err(FdtError::Magic(0xdead_beef)));
    assert_eq!(check(&with_field(blob(), 4, 0x20_0001)), Err(FdtError::TooLarge(0x20_0001)));
    assert!(matches!(check(&with_field(blob(), 4, 0)), Err(FdtError::Block(_))));
    assert!(matches!(check(&with_field(blob(), 20, 16)), Err(FdtError::Version { version: 16, .. })));
    assert!(matches!(check(&with_field(blob(), 24, 18)), Err(FdtError::Version { compatible: 18, .. })));
    assert_eq!(check(&with_field(blob(), 8, 58)), Err(FdtError::Block("structure")));
    assert_eq!(check(&with_field(blob(), 8, u32::MAX)), Err(FdtError::Block("structure")));
    assert_eq!(check(&with_field(blob(), 12, u32::MAX - 3)), Err(FdtError::Block("strings")));
    assert_eq!(check(&with_field(blob(), 12, 60)), Err(FdtError::Block("structure")), "blocks overlap");
    assert_eq!(check(&with_field(blob(), 16, 8)), Err(FdtError::Block("memory reservation")));
    assert_eq!(check(&with_field(blob(), 16, u32::MAX)), Err(FdtError::Block("memory reservation")));
    assert_eq!(check(&with_field(blob(), 16, 56)), Err(FdtError::Reservations));
}

#[test]
fn tokens_must_nest() {
    assert!(matches!(check(&root().token(END).build()), Err(FdtError::Token(_))), "open root");
    assert!(matches!(check(&root().end().end().token(END).build()), Err(FdtError::Token(_))));
    assert!(matches!(check(&root().token(5).finish()), Err(FdtError::Token(_))));
    assert!(matches!(check(&root().end().build()), Err(FdtError::Unterminated(_))));
    assert!(matches!(check(&Blob::default().token(END).build()), Err(FdtError::Root(_))));
    assert!(matches!(check(&root().end().begin("").finish()), Err(FdtError::Root(_))), "two roots");
    assert!(matches!(check(&Blob::default().begin("root").finish()), Err(FdtError::Root(_))));
    assert!(matches!(
        check(&root().begin("a").end().cells("p", &[]).finish()),
        Err(FdtError::StrayProperty(_))
    ));
    assert!(matches!(check(&Blob::default().cells("p", &[]).finish()), Err(FdtError::StrayProperty(_))));
}

#[test]
fn names_must_be_short_printable_and_without_slash() {
    for name in ["a/b", "", "a b", "\u{e4}", "x\x1b[2J", &"n".repeat(256)] {
        assert!(matches!(check(&root().begin(name).end().finish()), Err(FdtError::Name(_))), "{name}");
    }
    for name in ["", "a b", &"n".repeat(256)] {
        assert!(matches!(check(&root().cells(name, &[]).finish()), Err(FdtError::Name(_))), "{name}");
    }
    assert!(check(&root().cells(&"n".repeat(255), &[]).finish()).is_ok());
    let aliased = |parent| root().begin(parent).prop("a/b", b"/\0").end().finish();
    assert!(matches!(check(&aliased("aliases")), Err(FdtError::Name(_))));
    assert!(check(&aliased("other")).is_ok());
}

#[test]
fn a_name_that_was_good_is_bad_elsewhere() {
    let named = |tree: Blob, at: u32| tree.token(PROP).token(0).token(at);
    for at in (0..200).chain([u32::MAX - 64, u32::MAX - 63, u32::MAX]) {
        let twice = named(named(root(), at), at).finish();
        assert!(matches!(check(&twice), Err(FdtError::Name(_))), "{at} of no names");
    }
    let tree = || root().prop("good", b"").prop("a/b", b"");
    let check = |at, parent| check(&named(named(tree(), at).begin(parent), at).end().finish());
    for (at, is_good) in [(0, true), (1, true), (3, true), (4, false), (5, true), (9, false), (64, false)] {
        assert_eq!(check(at, "other").is_ok(), is_good, "{at}");
    }
    assert!(check(0, "aliases").is_ok());
    assert!(matches!(check(5, "aliases"), Err(FdtError::Name(_))), "a slash");
}

#[test]
fn values_must_end_inside_the_structure_block() {
    for length in [5, 0x7fff_ffff, u32::MAX] {
        let blob = root().token(PROP).token(length).token(0);
        let blob = Blob { strings: b"p\0".to_vec(), ..blob }.build();
        assert!(matches!(check(&blob), Err(FdtError::Value(_))), "{length}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let open = (1..depth).fold(root(), |blob, _| blob.begin("n"));
        (1..depth).fold(open, |blob, _| blob.end()).finish()
    };
    assert!(check(&nested(MAX_DEPTH)).is_ok());
    assert!(matches!(check(&nested(MAX_DEPTH + 1)), Err(FdtError::TooDeep(_))));
    let blob = nested(MAX_DEPTH);
    let mut nodes = 0;
    Tree::parse(&blob).unwrap().find_map(|_| -> Option<()> {
        nodes += 1;
        None
    });
    assert_eq!(nodes, MAX_DEPTH);
}

#[test]
fn nodes_and_properties_behind_nops_are_not_lost() {
    let nops = |blob: Blob| blob.token(NOP).token(NOP);
    let blob = nops(nops(Blob::default()).begin("").cells("a", &[1])).cells("b", &[2]);
    let blob = nops(nops(nops(blob).begin("one").cells("c", &[3])).end()).begin("two");
    let blob = nops(nops(blob).end()).finish();
    let tree = Tree::parse(&blob).unwrap();
    let root = tree.root().unwrap();
    let names: Vec<_> = root.props().map(|prop| prop.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(root.children().map(|node| node.name()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(root.child("one").unwrap().prop("c").unwrap().u32(), Ok(3));
}

#[test]
fn what_pads_a_name_is_no_part_of_the_tree() {
    for name in [&b"a\0bc"[..], b"ab\0c", b"abc\0", b"abcd\0\x01\x01\x01"] {
        let mut blob = root().token(BEGIN);
        blob.structs.extend(name);
        let blob = blob.cells("p", &[1]).begin("child").end().end().begin("z").end().finish();
        let tree = Tree::parse(&blob).unwrap();
        let mut names = Vec::new();
        tree.find_map(|node| -> Option<()> {
            names.push(node.name().to_owned());
            None
        });
        let name = core::str::from_utf8(name.split(|byte| *byte == 0).next().unwrap()).unwrap();
        assert_eq!(names, ["/", name, "child", "z"]);
        assert_eq!(tree.at(&format!("/{name}"), |node| node.prop("p").unwrap().u32()), Some(Ok(1)));
    }
}

#[test]
fn the_first_of_two_phandles_counts() {
    let both = |first: &str, second: &str| {
        root().begin("n").cells("x", &[2]).cells(first, &[1]).cells(second, &[2]).end().finish()
    };
    for blob in [both("phandle", "linux,phandle"), both("linux,phandle", "phandle")] {
        let tree = Tree::parse(&blob).unwrap();
        assert_eq!([1, 2].map(|phandle| tree.name_of_phandle(phandle)), [Some("n"), None]);
    }
}

#[test]
fn the_root_may_have_more_children_than_are_noted() {
    for count in [0, 1, 95, 96, 97, 300] {
        let add = |tree: Blob, number: u32| {
            let child =
                tree.token(NOP).begin(&format!("n{number}")).cells("at", &[number]).begin("below").end();
            child.token(NOP).end()
        };
        let blob = (0..count).fold(root().cells("a", &[7]), add).finish();
        let tree = Tree::parse(&blob).unwrap();
        let top = tree.root().unwrap();
        let names: Vec<String> = top.children().map(|node| node.to_string()).collect();
        assert_eq!(names, (0..count).map(|number| format!("/n{number}")).collect::<Vec<_>>());
        for number in 0..count {
            let child = top.child(&format!("n{number}")).unwrap();
            assert_eq!(child.prop("at").unwrap().u32(), Ok(number));
            assert_eq!(child.children().map(|node| node.name()).collect::<Vec<_>>(), ["below"]);
        }
        assert!(top.child("below").is_none() && top.child(&format!("n{count}")).is_none());
    }
}

#[test]
fn a_blob_that_is_not_aligned_is_refused() {
    let blob = root().cells("a", &[1]).finish();
    let mut memory = vec![0; blob.len() + 8];
    let start = (4 - memory.as_ptr() as usize % 4) % 4;
    for (offset, is_read) in [(0, true), (1, false), (2, false), (3, false), (4, true)] {
        let place = &mut memory[start + offset..][..blob.len()];
        place.copy_from_slice(&blob);
        assert_eq!(Tree::parse(place).is_ok(), is_read, "{offset}");
    }
}

#[test]
fn a_phandle_means_the_same_whatever_was_asked_before() {
    let node = |tree: Blob, name, phandle| tree.begin(name).cells("phandle", &[phandle]).end();
    let blob = node(node(root(), "a", 1), "b", 2).finish();
    let tree = Tree::parse(&blob).unwrap();
    let names = [1, 1, 2, 3, 2, 1].map(|phandle| tree.name_of_phandle(phandle));
    assert_eq!(names, [Some("a"), Some("a"), Some("b"), None, Some("b"), Some("a")]);
}

#[test]
fn nodes_know_their_paths_and_can_be_found_by_them() {
    let blob = root()
        .begin("aliases")
        .prop("serial0", b"/soc/uart@1\0")
        .prop("loop", b"loop\0")
        .end()
        .begin("soc")
        .begin("uart@1")
        .end()
        .begin("uart@2")
        .cells("linux,phandle", &[7])
        .end()
        .end()
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    let path = |path| tree.at(path, |node| node.to_string());
    assert_eq!(path("/soc/uart@2").as_deref(), Some("/soc/uart@2"));
    assert_eq!(path("/soc/uart").as_deref(), Some("/soc/uart@1"));
    assert_eq!(path("serial0").as_deref(), Some("/soc/uart@1"));
    assert_eq!(path("/").as_deref(), Some("/"));
    assert_eq!([path("/soc/uart@3"), path("loop"), path("serial1"), path("")], [None, None, None, None]);
    assert_eq!(tree.name_of_phandle(7), Some("uart@2"));
    assert_eq!(tree.name_of_phandle(8), None);
}

#[test]
fn cell_sizes_are_inherited_from_the_nearest_ancestor() {
    let blob = root()
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[2])
        .begin("a")
        .cells("#size-cells", &[1])
        .begin("b")
        .begin("c")
        .cells("reg", &[1, 2, 3])
        .end()
        .end()
        .end()
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    tree.at("/a/b/c", |node| {
        assert_eq!(node.cells(), Cells { address: 2, size: 1 });
        assert_eq!(node.reg(0), Ok(RegEntry { address: 0x1_0000_0002, size: 3 }));
        assert_eq!(node.reg(1), Err(RegError::Short { index: 1, wanted: 6, got: 3 }));
        assert_eq!(node.regs().count(), 1);
    })
    .unwrap();
}

#[test]
fn registers_are_translated_through_every_bus() {
    let blob = root()
        .cells("#address-cells", &[2])
        .cells("#size-cells", &[1])
        .begin("soc")
        .cells("#address-cells", &[1])
        .cells("#size-cells", &[1])
        .cells("ranges", &[0x7e00_0000, 0, 0xfe00_0000, 0x100_0000, 0x4000_0000, 4, 0, 0x1000])
        .begin("dev")
        .cells("reg", &[0x7e20_1000, 0x200, 0x4000_0ff0, 0x10, 0x4000_0ff0, 0x11, 0x1000, 1])
        .end()
        .begin("bus")
        .cells("#address-cells", &[1])
        .prop("ranges", b"")
        .begin("dev")
        .cells("reg", &[0x4000_0000, 4, 0x4000_0000, 0])
        .end()
        .end()
        .end()
        .begin("island")
        .begin("dev")
        .cells("reg", &[0, 1, 1])
        .end()
        .end()
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    let mmio =
        |path: &str, index| tree.at(path, |node| node.mmio(index).map(|span| span.start().get())).unwrap();
    assert_eq!(mmio("/soc/dev", 0), Ok(0xfe20_1000));
    assert_eq!(mmio("/soc/dev", 1), Ok(0x4_0000_0ff0));
    assert_eq!(mmio("/soc/dev", 2), Err(RegError::NotMapped(0x4000_0ff0)), "reaches past the window");
    assert_eq!(mmio("/soc/dev", 3), Err(RegError::NotMapped(0x1000)));
    assert_eq!(mmio("/soc/bus/dev", 0), Ok(0x4_0000_0000));
    assert_eq!(mmio("/soc/bus/dev", 1), Err(RegError::Empty));
    assert_eq!(mmio("/island/dev", 0), Err(RegError::NoRanges));
}

#[test]
fn interrupts_follow_the_nearest_parent_to_a_gic() {
    let gic = |blob: Blob| {
        blob.begin("gic")
            .prop("compatible", b"arm,gic-400\0")
            .cells("#interrupt-cells", &[3])
            .cells("phandle", &[1])
    };
    let blob = gic(root().cells("interrupt-parent", &[1]))
        .cells("interrupts", &[1, 9, 4])
        .end()
        .begin("other")
        .cells("#interrupt-cells", &[1])
        .cells("phandle", &[2])
        .end()
        .begin("soc")
        .begin("dev")
        .cells("interrupts", &[0, 33, 4, 1, 14, 8, 2, 0, 0, 0, 988, 0, 1, 30])
        .end()
        .end()
        .begin("elsewhere")
        .cells("interrupt-parent", &[2])
        .cells("interrupts", &[5])
        .end()
        .begin("nowhere")
        .cells("interrupt-parent", &[3])
        .cells("interrupts", &[5])
        .end()
        .begin("both")
        .cells("interrupts-extended", &[2, 5, 1, 0, 1, 4])
        .end()
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    let irq = |path: &str, index| tree.at(path, |node| node.interrupt(index)).unwrap();
    assert_eq!(irq("/gic", 0), Ok(IntId::new(25)));
    assert_eq!(irq("/soc/dev", 0), Ok(IntId::new(65)));
    assert_eq!(irq("/soc/dev", 1), Ok(IntId::new(30)));
    assert_eq!(irq("/soc/dev", 2), Err(IrqError::Kind(2)));
    assert_eq!(irq("/soc/dev", 3), Err(IrqError::Number(988)));
    assert_eq!(irq("/soc/dev", 4), Err(IrqError::Short));
    assert_eq!(irq("/soc/dev", 5), Err(IrqError::Missing));
    assert_eq!(irq("/elsewhere", 0), Err(IrqError::NotGic));
    assert_eq!(irq("/nowhere", 0), Err(IrqError::NoController));
    assert_eq!(irq("/both", 0), Err(IrqError::NotGic));
    assert_eq!(irq("/both", 1), Ok(IntId::new(33)));
    assert_eq!(irq("/both", 2), Err(IrqError::Missing));
}

#[test]
fn a_gic_without_a_parent_is_its_own() {
    let blob = root()
        .begin("gic")
        .prop("compatible", b"arm,gic-v3\0")
        .cells("#interrupt-cells", &[4])
        .cells("interrupts", &[1, 9, 4, 0])
        .end()
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    assert_eq!(tree.at("/gic", |node| node.interrupt(0)), Some(Ok(IntId::new(25))));
}

#[test]
fn values_become_numbers_and_strings_or_errors() {
    let blob = root()
        .prop("compatible", b"Arm,One\0arm,two\0")
        .prop("cut", b"abc")
        .prop("latin", b"\xe4\0")
        .cells("one", &[1])
        .cells("two", &[1, 2])
        .prop("status", b"disabled\0")
        .finish();
    let tree = Tree::parse(&blob).unwrap();
    let root = tree.root().unwrap();
    let prop = |name| root.prop(name).unwrap();
    assert!(root.is_compatible("arm,one") && root.is_one_of(&["x", "arm,two"]));
    assert!(!root.is_okay() && root.has("cut") && !root.has("missing"));
    assert_eq!(prop("compatible").str(), Ok("Arm,One"));
    assert_eq!(prop("cut").str(), Err(ValueError::NotText));
    assert_eq!(prop("cut").u32(), Err(ValueError::Short { wanted: 4, got: 3 }));
    assert_eq!(prop("latin").str(), Err(ValueError::NotText));
    assert_eq!((prop("one").number(), prop("two").number()), (Ok(1), Ok(0x1_0000_0002)));
    assert_eq!(prop("one").u64(), Err(ValueError::Short { wanted: 8, got: 4 }));
    assert_eq!(prop("two").cells().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn the_reservation_block_is_read_up_to_its_end() {
    let mut blob = root();
    blob = blob.reserve(0, 0x1000).reserve(0x8000_0000, 1);
    let blob = blob.finish();
    let tree = Tree::parse(&blob).unwrap();
    assert_eq!(tree.reservations().collect::<Vec<_>>(), [(0, 0x1000), (0x8000_0000, 1)]);
}
