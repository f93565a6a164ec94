//! `cargo xtask image`: a card that a board boots from, as a folder of files and as an SD card's image.
//!
//! What may be passed on is put there: the hypervisor, the domains, the script, the board's tree, and what Debian has of
//! boot loaders. What Debian has not (the Raspberry Pi's first stages, the ZCU102's BOOT.BIN) the user has from the
//! board's maker; it is taken from a folder that is named, and asked for by name if it is not there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::card::{self, Item};
use crate::compose::{self, Composed, Machine, Request};
use crate::{firmware, image};

/// What the Raspberry Pi's firmware is told. Each line is one that matters on the way to a hypervisor.
const CONFIG: &str = "\
# The first stage starts BL31 at EL3 and U-Boot at EL2; U-Boot runs boot.scr.
arm_64bit=1
# Interrupts by the GIC-400, not by the older controller.
enable_gic=1
# BL31 answers PSCI. Without this line the built-in stub runs, and CPUs wait at spin-table words; both work.
armstub=bl31.bin
kernel=u-boot.bin
kernel_address=0x80000
device_tree=bcm2711-rpi-4-b.dtb
# The mini UART on pins 8 and 10 of the header, 115200 baud, with a clock that does not change.
enable_uart=1
";

/// Files that a board's maker has, and what they are.
const MISSING_RPI4: [(&str, &str); 2] = [
    ("start4.elf", "the VideoCore's firmware, from Raspberry Pi's repository `firmware`, folder boot"),
    ("fixup4.dat", "its companion, from the same place"),
];
const MISSING_ZCU102: [(&str, &str); 1] = [(
    "BOOT.BIN",
    "FSBL or SPL, PMU firmware, TF-A and U-Boot, from AMD's prebuilt images or your own build",
)];

/// A card as it was made.
pub struct Card {
    /// The image of the card.
    pub image: PathBuf,
    /// What was composed.
    pub composed: Composed,
    /// Files that the user has to add, with what they are.
    missing: Vec<(&'static str, &'static str)>,
    items: Vec<Item>,
}

impl Card {
    /// Puts another file called `name` onto the card.
    ///
    /// # Errors
    ///
    /// What could not be read or written.
    pub fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), String> {
        let path = self.composed.place.join("card").join(name);
        fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        self.items.retain(|item| item.name != name);
        self.items.push(Item { name: name.into(), source: path });
        card::write(&self.image, &self.items).map(|_| ())
    }
}

/// `cargo xtask image BOARD FILE [--firmware DIR] [--out DIR]`.
///
/// # Errors
///
/// What is wrong with the file, or with the command.
pub fn run(words: &[String]) -> Result<(), String> {
    const USAGE: &str = "cargo xtask image rpi4|zcu102|virt FILE.toml [--firmware DIR] [--out DIR]";
    let (mut names, mut extra, mut out) = (Vec::new(), None, None);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--firmware" => extra = Some(Path::new(words.next().ok_or(USAGE)?)),
            "--out" => out = Some(Path::new(words.next().ok_or(USAGE)?)),
            name if !name.starts_with('-') => names.push(name),
            other => return Err(format!("what is `{other}`?\n{USAGE}")),
        }
    }
    let [machine, file] = names.as_slice() else { return Err(USAGE.into()) };
    let machine = Machine::named(machine).ok_or_else(|| format!("no machine `{machine}`\n{USAGE}"))?;
    let card = make(&Request { file: Path::new(file), machine: &machine, gic: 3, out }, extra)?;
    anstream::eprint!("{}", card.composed.remarks);
    println!("{}/card: copy what is in it onto a card with a FAT partition", card.composed.place.display());
    println!("{}: or write it to a card as it is", card.image.display());
    for (name, what) in &card.missing {
        println!("to be added: {name}: {what}");
    }
    if !card.missing.is_empty() {
        println!("put them into a folder and name it by --firmware to have them copied");
    }
    Ok(())
}

/// Composes a partition and makes its card, with all files of the folder `extra` on it.
///
/// # Errors
///
/// What is wrong with the partition file, or what could not be read or written.
pub fn make(request: &Request<'_>, extra: Option<&Path>) -> Result<Card, String> {
    let composed = compose::compose(request)?;
    let name = |name: &str, source: PathBuf| Item { name: name.into(), source };
    let mut items = vec![name("Image", image::IMAGE.into()), name("boot.scr", composed.script.clone())];
    items.extend(composed.modules.iter().map(|module| name(&module.name, module.path.clone())));
    let own = composed.base.file_name().map(|name| name.to_string_lossy().into_owned());
    if let (Some(own), Some(_)) = (own, request.machine.board) {
        items.push(name(&own, composed.base.clone()));
    }
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match request.machine.name {
        "rpi4" => {
            let config = composed.place.join("config.txt");
            fs::write(&config, CONFIG).map_err(|e| format!("{}: {e}", config.display()))?;
            items.push(name("config.txt", config));
            items.push(name("u-boot.bin", firmware::uboot_rpi4()?));
            items.push(name("bl31.bin", firmware::bl31_rpi4()?));
            wanted.extend(MISSING_RPI4);
        }
        "zcu102" => wanted.extend(MISSING_ZCU102),
        _ => {}
    }
    if let Some(extra) = extra {
        add_all(extra, "", &mut items)?;
    }
    let folder = composed.place.join("card");
    let _ = fs::remove_dir_all(&folder);
    for item in &items {
        let path = folder.join(&item.name);
        let copied =
            path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&item.source, &path));
        copied.map_err(|e| format!("{} to {}: {e}", item.source.display(), path.display()))?;
    }
    let image = composed.place.join("card.img");
    card::write(&image, &items)?;
    let missing =
        wanted.into_iter().filter(|(name, _)| !items.iter().any(|item| item.name == *name)).collect();
    Ok(Card { image, composed, missing, items })
}

/// All files in a folder and the folders in it. What is there already is replaced: the user's word is the last.
fn add_all(folder: &Path, prefix: &str, items: &mut Vec<Item>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            add_all(&entry.path(), &format!("{name}/"), items)?;
        } else {
            items.retain(|item| !item.name.eq_ignore_ascii_case(&name));
            items.push(Item { name, source: entry.path() });
        }
    }
    Ok(())
}
