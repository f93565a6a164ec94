//! What is unpacked at boot is what was linked, byte for byte: QEMU is asked for the memory and it is compared.
//!
//! The reader in boot/unpack is assembly, and the one that the packer checks itself with is not: here is where they are
//! compared. The hypervisor's own code has no instruction of some kinds, so a second image is made of words of all kinds.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::image::{self, ELF};
use crate::qemu::{BASE, Run};
use crate::watch::{self, Wanted};

/// Names of the scenarios, where the image of each is loaded from the start of RAM, and what it says when it runs. In two
/// gibibytes it is unpacked with the MMU off, where every access has to be aligned.
pub const ALL: [(&str, u64, Made, &str); 3] = [
    ("unpacked-hypervisor", 0x20_0000, hypervisor, "Portunus"),
    ("unpacked-anything", 0x3f_f000, anything, "unpacked"),
    ("unpacked-without-caches", 0x3ffd_1000, anything, "unpacked"),
];
/// Makes an Image, what it is to unpack to, and how much of that does not change when it runs.
type Made = fn() -> Result<(Vec<u8>, Vec<u8>, usize), String>;

const DIRECTORY: &str = "target/portunus/unpacked";
/// Where RAM begins on `virt`.
const RAM: u64 = 0x4000_0000;

/// Runs an image until it says something, and compares.
pub fn run(name: &str, offset: u64, made: Made, says: &str) -> Result<Run, String> {
    fs::create_dir_all(DIRECTORY).map_err(|e| format!("{DIRECTORY}: {e}"))?;
    let path = |what: &str| format!("{DIRECTORY}/{name}.{what}");
    let (socket, memory, file) = (path("monitor"), path("memory"), path("Image"));
    for old in [&socket, &memory] {
        let _ = fs::remove_file(old);
    }
    let (mut packed, unpacked, constant) = made()?;
    // The header's text_offset (Linux, Documentation/arch/arm64/booting.rst).
    packed.splice(8..16, offset.to_le_bytes());
    fs::write(&file, packed).map_err(|e| format!("{file}: {e}"))?;
    let machine = ["-M", super::EL2, "-cpu", "cortex-a53", "-m", "2G", "-kernel"];
    let mut arguments: Vec<String> =
        machine.iter().chain([&file.as_str()]).chain(&BASE).map(ToString::to_string).collect();
    arguments.extend(["-monitor".into(), format!("unix:{socket},server,nowait")]);
    let all = [says.to_owned()];
    let wanted = Wanted { all: &all, none: &[], typed: &[], limit: 20 };
    let mut told = Ok(Vec::new());
    let mut run = watch::until(&arguments, &wanted, |child| {
        told = read(&socket, &memory, RAM + offset, unpacked.len());
        let _ = child.kill();
    });
    if run.failure.is_none() {
        let seen = told?;
        let differs = (0..constant).find(|at| seen.get(*at) != unpacked.get(*at));
        run.failure = differs.map(|at| format!("byte {at:#x} is not what was packed"));
    }
    Ok(run)
}

/// The memory that the image lies in, from QEMU's monitor.
fn read(socket: &str, path: &str, address: u64, size: usize) -> Result<Vec<u8>, String> {
    let mut monitor = UnixStream::connect(socket).map_err(|e| format!("QEMU's monitor: {e}"))?;
    let command = format!("pmemsave {address:#x} {size} {path}\n");
    monitor.write_all(command.as_bytes()).map_err(|e| format!("QEMU's monitor: {e}"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match fs::read(path) {
            Ok(memory) if memory.len() == size => return Ok(memory),
            _ if Instant::now() > deadline => return Err(format!("QEMU did not write {path}")),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The hypervisor as it is shipped. Words that hold addresses are not constant: the image is relocated.
fn hypervisor() -> Result<(Vec<u8>, Vec<u8>, usize), String> {
    let packed = fs::read(image::IMAGE).map_err(|e| format!("{}: {e}", image::IMAGE))?;
    let elf = fs::read(ELF).map_err(|e| format!("{ELF}: {e}"))?;
    let constant =
        image::address(&elf, ".data.rel.ro").ok_or_else(|| format!("{ELF}: no section .data.rel.ro"))?;
    Ok((packed, image::read(ELF)?, constant))
}

/// Words and bytes of all kinds behind a program that says so.
fn anything() -> Result<(Vec<u8>, Vec<u8>, usize), String> {
    let mut random = Random(1);
    let mut words = program();
    words.extend((0..20_000).map(|_| random.instruction()));
    // Said again from further on, where calls and addresses are further away.
    words.extend_from_within(1000..3000);
    words.resize(words.len().next_multiple_of(1024), 0);
    let mut unpacked: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let code = unpacked.len();
    unpacked.extend((0..5000).map(|_| random.below(if random.0 & 1 == 0 { 256 } else { 8 }) as u8));
    unpacked.extend_from_within(code + 100..code + 900);
    let packed = image::pack(&unpacked, code)?;
    let size = unpacked.len();
    Ok((packed, unpacked, size))
}

/// An Image header, and behind it a program that writes to the UART of `virt`.
fn program() -> Vec<u32> {
    let mut words = vec![0; 16];
    words[0] = 0x1400_0010; // b behind the header
    words[4] = 0x10_0000; // image_size
    words[6] = 0xa; // flags
    words[14] = u32::from_le_bytes(*b"ARM\x64");
    words.push(0xd2a1_2001); // mov x1, #0x9000000
    for byte in b"unpacked\n" {
        words.push(0x5280_0002 | u32::from(*byte) << 5); // mov w2, #byte
        words.push(0xb900_0022); // str w2, [x1]
    }
    words.push(0xd503_205f); // wfe
    words.push(0x17ff_ffff); // b to that
    words
}

/// Marsaglia's xorshift.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.next() % limit
    }

    /// A word that looks like an instruction, some more often than others, or like none.
    fn instruction(&mut self) -> u32 {
        let near = |bits: u32, random: &mut Self| (random.below(200).wrapping_sub(100)) & ((1 << bits) - 1);
        let low = self.below(4);
        match self.below(16) {
            0 => 0x9400_0000 | near(26, self),
            1 => 0x9400_0000 | self.next() >> 6 & 0x3ff_ffff,
            2 => 0x1400_0000 | near(26, self),
            3 => 0x1400_0000 | self.next() >> 6 & 0x3ff_ffff,
            4 => 0x5400_0000 | near(19, self) << 5 | low,
            5 => 0xb400_0000 | self.below(0x8_0000) << 5 | low,
            6 => 0x3600_0000 | self.below(32) << 19 | near(14, self) << 5 | low,
            7 => 0x1000_0000 | self.below(4) << 29 | near(19, self) << 5 | low,
            8 => 0x1000_0000 | self.below(4) << 29 | self.below(0x8_0000) << 5 | low,
            9 => 0x9000_0000 | self.below(4) << 29 | near(19, self) << 5 | low,
            10 => self.next(),
            11 => 0xf940_0000 | self.below(2048) << 10 | self.below(4) << 5 | low,
            _ => 0xaa00_03e0 | self.below(4) << 16 | low,
        }
    }
}
