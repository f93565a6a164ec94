//! Memory that was filled in many small steps holds what it should, and was filled in small steps.

use proptest::prelude::*;

use super::super::gzip::Gzip;
use super::super::gzip::tests::gzip;
use super::super::seed::Seed;
use super::*;
use crate::addr::{DomainId, MIB, PAGE_SIZE};

/// Physical memory from 0 on that held rubbish before, and the most that one step moved.
struct Ram {
    bytes: Vec<u8>,
    moved: u64,
}

const RUBBISH: u8 = 0xa5;

impl Ram {
    fn dirty() -> Self {
        Self { bytes: vec![RUBBISH; 9 * MIB as usize], moved: 0 }
    }

    /// What the guest reads.
    fn read(&self, contents: &Contents) -> Vec<u8> {
        let bytes = contents.extents.iter().flat_map(|extent| {
            let to = extent.to.get() as usize;
            &self.bytes[to..to + extent.span.size() as usize]
        });
        bytes.copied().collect()
    }
}

impl Memory for Ram {
    fn zero(&mut self, span: PaSpan) {
        assert!(span.start().is_aligned(PAGE_SIZE) && span.size().is_multiple_of(PAGE_SIZE));
        self.moved += span.size();
        self.bytes[span.start().get() as usize..span.end().get() as usize].fill(0);
    }

    fn copy(&mut self, to: Pa, bytes: &[u8]) {
        self.moved += bytes.len() as u64;
        self.bytes[to.get() as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

const START: u64 = 0x4000_0000;

/// A domain of 1 MiB in three pieces, of which none lies next to the one before.
fn contents(kernel: File<'static>, ramdisk: &'static [u8]) -> Contents {
    let extent =
        |at, size, to| Extent { span: IpaSpan::new(Ipa::new(START + at), size).unwrap(), to: Pa::new(to) };
    let span = |at, size| IpaSpan::new(Ipa::new(START + at), size).unwrap();
    Contents {
        extents: vec![
            extent(0, MIB / 2, 3 * MIB),
            extent(MIB / 2, MIB / 4, MIB),
            extent(MIB / 4 * 3, MIB / 4, 8 * MIB),
        ],
        kernel: (kernel, span(0x1000, 0xa_0000)),
        ramdisk: (!ramdisk.is_empty()).then(|| (ramdisk, span(0xb_0000, ramdisk.len() as u64))),
        tree: (Box::from(&b"tree"[..]), Ipa::new(START + 0xf_fffc)),
        seeding: None,
    }
}

/// Fills `ram` and answers in how many steps.
fn fill(contents: &Contents, ram: &mut Ram, workspace: &mut Workspace) -> Result<u32, ImageError> {
    let mut loading = Loading::begin(0, CHUNK);
    for steps in 1.. {
        ram.moved = 0;
        let done = loading.step(contents, Some(workspace), ram)?;
        assert!(ram.moved <= CHUNK, "one step moved {} bytes", ram.moved);
        if done {
            return Ok(steps);
        }
    }
    unreachable!()
}

fn noise(length: usize) -> &'static [u8] {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(next).collect::<Vec<u8>>().leak()
}

fn check(contents: &Contents, ram: &Ram, kernel: &[u8], ramdisk: &[u8]) {
    let mut expected = vec![0; MIB as usize];
    expected[0x1000..0x1000 + kernel.len()].copy_from_slice(kernel);
    expected[0xb_0000..0xb_0000 + ramdisk.len()].copy_from_slice(ramdisk);
    expected[0xf_fffc..].copy_from_slice(b"tree");
    assert!(ram.read(contents) == expected);
    let outside = ram.bytes.iter().filter(|byte| **byte == RUBBISH).count();
    assert!(outside as u64 >= 8 * MIB, "what is not the domain's was written");
}

#[test]
fn memory_is_the_same_in_every_life_and_whatever_the_kernel_is_packed_in() {
    let (kernel, ramdisk) = (noise(0x8_1234), noise(0x2_0001));
    let packed: &'static [u8] = gzip(kernel).leak();
    let mut workspace = Workspace::new();
    let opened = Gzip::open(packed, MIB).unwrap();
    for file in [File::Plain(kernel), File::Gzip(opened)] {
        let contents = contents(file, ramdisk);
        let mut ram = Ram::dirty();
        for _ in 0..2 {
            let steps = fill(&contents, &mut ram, &mut workspace).unwrap();
            assert!(steps > 20, "{steps} steps");
            check(&contents, &ram, kernel, ramdisk);
            ram.bytes.fill(RUBBISH);
        }
        let mut loading = Loading::begin(0, u64::MAX);
        while !loading.step(&contents, Some(&mut workspace), &mut ram).unwrap() {}
        check(&contents, &ram, kernel, ramdisk);
    }
}

#[test]
fn each_life_finds_a_seed_of_its_own() {
    let seed = Seed::new(&[5; 32]).unwrap();
    let seeding = Seeding { seed, domain: DomainId::new(1), at: Ipa::new(START + 0x100) };
    let contents = Contents { seeding: Some(seeding), ..contents(File::Plain(&[]), &[]) };
    let found = |life| {
        let (mut ram, mut loading) = (Ram::dirty(), Loading::begin(life, u64::MAX));
        while !loading.step(&contents, None, &mut ram).unwrap() {}
        ram.read(&contents)[0x100..0x124].to_vec()
    };
    let [first, second] = [found(0), found(1)];
    assert!(first[..32].chunks(8).zip(second.chunks(8)).all(|(one, other)| one != other && one != [0; 8]));
    assert_eq!(first[32..], [0; 4]);
    assert_eq!(first, found(0));
}

#[test]
fn a_kernel_that_no_longer_unpacks_is_an_error() {
    let kernel = noise(0x4_0000);
    let packed: &'static mut [u8] = gzip(kernel).leak();
    let middle = packed.len() / 2;
    packed[middle] ^= 0x10;
    let contents = contents(File::Gzip(Gzip::open(packed, MIB).unwrap()), &[]);
    let mut ram = Ram::dirty();
    assert!(matches!(fill(&contents, &mut ram, &mut Workspace::new()), Err(ImageError::Gzip(_))));
}

#[test]
fn a_kernel_larger_than_its_place_is_refused() {
    let contents = contents(File::Plain(noise(0xa_0001)), &[]);
    let mut ram = Ram::dirty();
    assert_eq!(fill(&contents, &mut ram, &mut Workspace::new()), Err(ImageError::NoRoom));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_sizes_end_up_whole(kernel in 0_usize..0xa_0000, ramdisk in 0_usize..0x4_0000) {
        let (kernel, ramdisk) = (noise(kernel), noise(ramdisk));
        let contents = contents(File::Plain(kernel), ramdisk);
        let mut ram = Ram::dirty();
        fill(&contents, &mut ram, &mut Workspace::new()).unwrap();
        check(&contents, &ram, kernel, ramdisk);
    }
}
