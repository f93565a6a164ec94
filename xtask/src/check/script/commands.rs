//! Commands beside `fdt`: variables, loading, starting.

use std::fs;

use super::words::Word;
use super::{Load, Script, hexadecimal, whole};
use crate::report::Level;

/// Commands that change nothing here.
const HARMLESS: &[&str] = &[
    "echo",
    "printenv",
    "print",
    "sleep",
    "true",
    "test",
    "mmc",
    "usb",
    "virtio",
    "scsi",
    "sata",
    "nvme",
    "pci",
    "part",
    "ls",
    "fatls",
    "ext4ls",
    "ping",
    "version",
    "bdinfo",
    "saveenv",
    "dcache",
    "icache",
    "fatsize",
    "size",
    "md",
    "crc32",
    "ubi",
    "ubifsmount",
    "sf",
    "zynqmp",
    "gpio",
    "led",
    "i2c",
    "md5sum",
    "itest",
    "iminfo",
    "fstype",
];
/// Words that steer where the script goes.
const CONTROL: &[&str] = &[
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "run", "source",
    "setexpr",
];

impl Script<'_> {
    /// Carries out one command.
    pub(super) fn command(&mut self, words: &[Word]) -> Result<(), String> {
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        match *texts.as_slice() {
            ["fdt", ..] => self.fdt(words),
            ["setenv" | "set", ref rest @ ..] | ["env", "set", ref rest @ ..] => self.set_variable(rest),
            ["tftpb" | "tftpboot" | "tftp" | "dhcp" | "nfs", address, file] => {
                self.load(words, address, file)
            }
            ["load" | "fatload" | "ext2load" | "ext4load" | "ubifsload", _, _, address, file, ..] => {
                self.load(words, address, file);
            }
            ["smhload", file, address, ..] => self.load(words, address, file),
            ["booti" | "bootm" | "bootz", image, _, tree, ..] => self.start(words, image, tree),
            ["bootefi", image, tree, ..] => self.start(words, image, tree),
            [word, ..] if CONTROL.contains(&word) => {
                let line = self.line(words);
                return Err(format!(
                    "{line}: `{word}` is not followed: what it does depends on the board\n\
                     check the tree that U-Boot makes (save it with its own commands), or a script without it"
                ));
            }
            [word, ..] if !HARMLESS.contains(&word) => {
                let what = format!("what `{word}` does to the tree is not known here; it is passed over");
                let range = words.first().map_or(0..0, |word| word.range.clone());
                self.report(Level::Note, "command is not followed", range, what, "");
            }
            _ => {}
        }
        Ok(())
    }

    fn line(&self, words: &[Word]) -> String {
        let mark = self.mark(whole(words));
        self.sources.show(&mark, whole(words)).map(|(place, _)| place).unwrap_or_default()
    }

    fn set_variable(&mut self, rest: &[&str]) {
        match rest {
            [] => {}
            [name] => drop(self.variables.remove(*name)),
            [name, value @ ..] => drop(self.variables.insert((*name).to_owned(), value.join(" "))),
        }
    }

    fn load(&mut self, words: &[Word], address: &str, file: &str) {
        let Some(number) = hexadecimal(address) else {
            let what = format!("{address} is not an address; U-Boot reads it as hexadecimal");
            return self.report(Level::Error, "address cannot be read", whole(words), what, "");
        };
        let name = file.rsplit('/').next().unwrap_or(file);
        // With its folders as on a card, or without.
        let found = self.files.as_ref().map(|directory| {
            let as_named = directory.join(file.trim_start_matches('/'));
            if as_named.is_file() { as_named } else { directory.join(name) }
        });
        let bytes = found.as_ref().and_then(|path| fs::read(path).ok());
        if let Some(path) = found.filter(|_| bytes.is_none()) {
            let what = format!("there is no {}", path.display());
            self.report(
                Level::Error,
                "file is missing",
                whole(words),
                what,
                "--files names the directory of the files",
            );
        }
        self.variables.insert("fileaddr".into(), format!("{number:x}"));
        match &bytes {
            Some(bytes) => drop(self.variables.insert("filesize".into(), format!("{:x}", bytes.len()))),
            None => drop(self.variables.remove("filesize")),
        }
        let mark = self.mark(whole(words));
        self.loads.push(Load { name: name.to_owned(), address: number, bytes, mark });
    }

    fn start(&mut self, words: &[Word], image: &str, tree: &str) {
        let (Some(image), Some(tree)) = (hexadecimal(image), hexadecimal(tree)) else {
            let what = String::from("the addresses cannot be read; U-Boot reads them as hexadecimal");
            return self.report(Level::Error, "address cannot be read", whole(words), what, "");
        };
        if let Some(changed) = self.tree_at.filter(|at| *at != tree) {
            let what =
                format!("the tree at {tree:#x} is passed on; the one that was changed is at {changed:#x}");
            let help = "pass the address that `fdt addr` was given";
            self.report(Level::Error, "another tree is passed on", whole(words), what, help);
        }
        self.boot = Some([image, tree]);
    }
}
