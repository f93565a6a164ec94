//! What stands between reset and the hypervisor in QEMU: nothing, U-Boot, firmware at EL3, or both.
//!
//! A chain is QEMU's arguments without the console's. U-Boot finds everything on a card, as on a board. Where it is not
//! there, QEMU puts the files where a boot loader would.

use std::fs;
use std::path::{Path, PathBuf};

use crate::card::script;
use crate::cards::{self, Card};
use crate::compose::{self, Composed, Machine, Request};
use crate::{boards, firmware, image};

/// A way to the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// QEMU loads everything and enters the Image.
    Direct,
    /// U-Boot runs the composed script from a card.
    UBoot,
    /// U-Boot runs the script with this name in `qemu/uboot`, which was written by hand.
    ByHand(&'static str),
    /// U-Boot's own way to a kernel that QEMU was given: no disk, no script.
    Qfw,
    /// Firmware at EL3 enters the Image.
    Firmware,
    /// Firmware at EL3 enters U-Boot, which runs the composed script from a card.
    FirmwareUBoot,
}

/// Where the Raspberry Pi's first stage puts what it loads, and where it says so: words in the page of the stub, which
/// BL31 reads (TF-A, docs/plat/rpi4.rst).
const RPI4_KERNEL: u64 = 0x20_0000;
const RPI4_UBOOT: u64 = 0x8_0000;
const RPI4_TREE: u64 = 0x800_0000;
/// Where the on-chip memory of the ZCU102 is, and what comes after EL3.
const ZCU102_EL3: u64 = 0xfffc_0000;
const ZCU102_KERNEL: u64 = 0x20_0000;
const ZCU102_TREE: u64 = 0x800_0000;
/// Where U-Boot for that chip is linked, and expects the tree and a debugger's script.
const ZCU102_UBOOT: u64 = 0x800_0000;
const ZCU102_UBOOT_TREE: u64 = 0x4000_0000;
const ZCU102_SCRIPT: u64 = 0x2000_0000;
const STUB_MAGIC: usize = 0xf0;
const STUB_MAGIC_WORD: u32 = 0x5afe_570b;

/// QEMU's arguments to boot a partition in this way.
///
/// # Errors
///
/// What is wrong with the partition, or why the machine cannot be booted like that.
pub fn arguments(request: &Request<'_>, boot: Way) -> Result<Vec<String>, String> {
    let machine = request.machine;
    let firmware_first = matches!(boot, Way::Firmware | Way::FirmwareUBoot);
    let card = || {
        let mut card = cards::make(request, None)?;
        if let Way::ByHand(name) = boot {
            by_hand(name, &mut card)?;
        }
        Ok::<_, String>(card)
    };
    let mut arguments = match (machine.name, boot) {
        (_, Way::Direct) => direct(&compose::compose(request)?),
        ("virt", Way::UBoot | Way::ByHand(_)) => {
            let card = card()?;
            let mut arguments = with(&card.composed, &["-bios", &text(&firmware::uboot_virt()?)]);
            arguments.extend(["-drive".into(), drive(&card, "none,id=card")]);
            arguments.extend(["-device", "virtio-blk-device,drive=card"].map(String::from));
            arguments
        }
        ("virt", Way::Qfw) => {
            let mut arguments = direct(&compose::compose(request)?);
            arguments.extend(["-bios".into(), text(&firmware::uboot_virt()?)]);
            arguments
        }
        ("rpi4", Way::UBoot | Way::ByHand(_)) => {
            let card = card()?;
            let base = text(&card.composed.base);
            let mut arguments =
                with(&card.composed, &["-kernel", &text(&firmware::uboot_rpi4()?), "-dtb", &base]);
            arguments.extend(["-drive".into(), drive(&card, "sd")]);
            arguments
        }
        ("rpi4", Way::Firmware) => {
            let composed = compose::compose(request)?;
            let mut arguments =
                rpi4_firmware(&composed, &composed.tree, Path::new(image::IMAGE), RPI4_KERNEL)?;
            arguments.extend(loaders(&composed));
            arguments
        }
        ("rpi4", Way::FirmwareUBoot) => {
            let card = card()?;
            let uboot = firmware::uboot_rpi4()?;
            let mut arguments = rpi4_firmware(&card.composed, &card.composed.base, &uboot, RPI4_UBOOT)?;
            arguments.extend(["-drive".into(), drive(&card, "sd")]);
            arguments
        }
        ("zcu102", Way::Firmware) => {
            let composed = compose::compose(request)?;
            let mut arguments = zcu102_firmware(&composed, ZCU102_KERNEL, ZCU102_TREE)?;
            arguments.extend(loader(Path::new(image::IMAGE), ZCU102_KERNEL));
            arguments.extend(loader(&composed.tree, ZCU102_TREE));
            arguments.extend(loaders(&composed));
            arguments
        }
        ("zcu102", Way::FirmwareUBoot) => {
            let card = card()?;
            let mut arguments = zcu102_firmware(&card.composed, ZCU102_UBOOT, 0)?;
            let uboot = firmware::uboot_zcu102()?;
            arguments.extend(["-device".into(), format!("loader,file={}", uboot.display())]);
            arguments.extend(loader(&zcu102_first_script(&card.composed.place)?, ZCU102_SCRIPT));
            arguments.extend(loader(&card.composed.base, ZCU102_UBOOT_TREE));
            arguments.extend(["-drive".into(), drive(&card, "sd,index=1")]);
            arguments
        }
        (name, boot) => return Err(format!("{name} cannot be booted in QEMU by {boot:?}")),
    };
    if firmware_first && machine.name == "rpi4" {
        // BL31 and everything behind it talk on the first serial line.
        without_first_line(&mut arguments);
    }
    Ok(arguments)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn with(composed: &Composed, more: &[&str]) -> Vec<String> {
    composed.machine.iter().cloned().chain(more.iter().map(ToString::to_string)).collect()
}

fn direct(composed: &Composed) -> Vec<String> {
    let mut arguments = with(composed, &["-kernel", image::IMAGE, "-dtb", &text(&composed.tree)]);
    arguments.extend(loaders(composed));
    arguments
}

fn loaders(composed: &Composed) -> Vec<String> {
    composed.modules.iter().flat_map(|module| ["-device".into(), compose::loader(module)]).collect()
}

fn loader(file: &Path, address: u64) -> [String; 2] {
    ["-device".into(), format!("loader,file={},addr={address:#x},force-raw=on", file.display())]
}

fn drive(card: &Card, interface: &str) -> String {
    format!("if={interface},format=raw,file={}", card.image.display())
}

/// Puts a script that was written by hand onto the card, in the place of the composed one.
fn by_hand(name: &str, card: &mut Card) -> Result<(), String> {
    let path = format!("qemu/uboot/{name}.cmd");
    let script = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    card.replace("boot.scr", &script::image(&script, name))
}

/// BL31 as the VideoCore would start it, with `next` at `address` behind it.
fn rpi4_firmware(composed: &Composed, tree: &Path, next: &Path, address: u64) -> Result<Vec<String>, String> {
    let machine = Machine::named("rpi4").ok_or("rpi4 is no machine")?;
    let complete =
        compose::filled::tree(&machine, &composed.machine, tree, composed.rpi4.as_ref(), &composed.place)?;
    let stub = stub(&composed.place, address)?;
    let mut arguments = composed.machine.clone();
    arguments.extend(loader(&stub, 0));
    arguments.extend(loader(next, address));
    arguments.extend(loader(&complete, RPI4_TREE));
    Ok(arguments)
}

/// BL31 with the words that the VideoCore fills in: the magic taken, the tree's address, and the kernel's.
fn stub(place: &Path, kernel: u64) -> Result<PathBuf, String> {
    let source = firmware::bl31_rpi4()?;
    let mut bytes = fs::read(&source).map_err(|e| format!("{}: {e}", source.display()))?;
    let words = bytes.get_mut(STUB_MAGIC..STUB_MAGIC + 16);
    let words = words.filter(|words| words.starts_with(&STUB_MAGIC_WORD.to_le_bytes()));
    let filled = [0, 0, RPI4_TREE as u32, kernel as u32].map(u32::to_le_bytes).concat();
    words
        .ok_or_else(|| format!("{} has no words for the VideoCore at 0xf0", source.display()))?
        .copy_from_slice(&filled);
    let path = place.join("bl31.bin");
    fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// The stand-in for firmware at EL3, on a board with all of its memory. It enters `next` with the address of `tree`.
fn zcu102_firmware(composed: &Composed, next: u64, tree: u64) -> Result<Vec<String>, String> {
    let mut code = firmware::el3_zcu102()?;
    let words = [next, tree].map(u64::to_le_bytes).concat();
    let entry = code.get_mut(8..24).ok_or("the code for EL3 is empty")?;
    entry.copy_from_slice(&words);
    let path = composed.place.join("el3.bin");
    fs::write(&path, code).map_err(|e| format!("{}: {e}", path.display()))?;
    // It can end QEMU, but only by semihosting.
    let machine =
        ["-M", "xlnx-zcu102,virtualization=on,secure=on", "-audio", "none", "-smp", "4", "-m", "4G"];
    let mut arguments: Vec<String> =
        machine.iter().chain(&["-semihosting"]).map(ToString::to_string).collect();
    arguments.extend(loader(&path, ZCU102_EL3));
    arguments.extend(["-device".into(), format!("loader,addr={ZCU102_EL3:#x},cpu-num=0")]);
    Ok(arguments)
}

/// QEMU's board says that it was started by a debugger, which leaves a script in memory. This one goes to the card, and
/// sets what U-Boot sets when it finds a card by itself.
fn zcu102_first_script(place: &Path) -> Result<PathBuf, String> {
    const TEXT: &str = "\
setenv devtype mmc
setenv distro_bootpart 1
for n in 0 1; do if load mmc ${n}:1 0x20100000 boot.scr; then setenv devnum ${n}; fi; done
source 0x20100000
";
    let path = place.join("first.scr");
    fs::write(&path, script::image(TEXT, "first")).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(path)
}

/// Takes the `-serial null` away that moves the console to the second line.
fn without_first_line(arguments: &mut Vec<String>) {
    if let Some(at) = arguments.windows(2).position(|pair| pair == ["-serial", "null"]) {
        arguments.drain(at..at + 2);
    }
}

/// Whether QEMU is new enough for a machine; if not, why.
///
/// # Errors
///
/// What is missing.
pub fn possible(machine: &Machine) -> Result<(), String> {
    match machine.board {
        Some(board) => boards::possible(board),
        None => Ok(()),
    }
}
