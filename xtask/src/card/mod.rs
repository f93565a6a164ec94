//! An SD card's contents in a file: a partition table with one FAT32 partition, and the files in it.
//!
//! The first stages of boot loaders know no other file system. The file can be written to a card as it is, and QEMU
//! takes it for a card: its size is a power of two, which QEMU insists on.

pub mod script;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use fscommon::{BufStream, StreamSlice};

const MIB: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// Where the partition begins: what partitioning tools use, a multiple of every card's erase block in use.
const START: u64 = MIB;
/// The smallest card that is made. FAT32 needs 65,525 clusters.
const LEAST: u64 = 64 * MIB;
/// Microsoft's type of a FAT32 partition that is addressed by sector numbers.
const FAT32_LBA: u8 = 0x0c;

/// A file on a card: its name there, and where its bytes are.
pub struct Item {
    /// Its name.
    pub name: String,
    /// The file that is copied.
    pub source: PathBuf,
}

/// Writes a card with `items` on it to `path`; answers its size in bytes.
///
/// # Errors
///
/// A text that names the file that could not be read or written.
pub fn write(path: &Path, items: &[Item]) -> Result<u64, String> {
    let mut needed = 0;
    for item in items {
        needed += fs::metadata(&item.source).map_err(|e| format!("{}: {e}", item.source.display()))?.len();
    }
    // An eighth and 8 MiB for the file system itself, and a few files more by hand.
    let size = (START + needed + needed / 8 + 8 * MIB).next_power_of_two().max(LEAST);
    let failed = |what: &Path, e: std::io::Error| format!("{}: {e}", what.display());
    let open = || File::options().read(true).write(true).create(true).truncate(true).open(path);
    let mut card = open().map_err(|e| failed(path, e))?;
    let prepared = card.set_len(size).and_then(|()| partition(&mut card, size));
    prepared.map_err(|e| failed(path, e))?;
    let mut part = StreamSlice::new(card, START, size).map(BufStream::new).map_err(|e| failed(path, e))?;
    let options = FormatVolumeOptions::new().fat_type(FatType::Fat32).volume_label(*b"PORTUNUS   ");
    fatfs::format_volume(&mut part, options).map_err(|e| failed(path, e))?;
    part.seek(SeekFrom::Start(0)).map_err(|e| failed(path, e))?;
    let system = FileSystem::new(part, FsOptions::new()).map_err(|e| failed(path, e))?;
    for item in items {
        let source = File::open(&item.source).map_err(|e| failed(&item.source, e))?;
        copy(source, &system, &item.name).map_err(|e| failed(&item.source, e))?;
    }
    system.unmount().map_err(|e| failed(path, e))?;
    Ok(size)
}

/// The first sector: one partition, from `START` to the end of the card.
fn partition(card: &mut File, size: u64) -> std::io::Result<()> {
    const BOOTABLE: u8 = 0x80;
    // Cylinders, heads and sectors mean nothing on a card; what these say is "look at the sector numbers".
    let (first, last) = ([0xfe, 0xff, 0xff], [0xfe, 0xff, 0xff]);
    let mut sector = vec![0; SECTOR as usize - 66];
    sector.push(BOOTABLE);
    sector.extend(first);
    sector.push(FAT32_LBA);
    sector.extend(last);
    sector.extend(((START / SECTOR) as u32).to_le_bytes());
    sector.extend((((size - START) / SECTOR) as u32).to_le_bytes());
    sector.extend([0; 48]);
    sector.extend([0x55, 0xaa]);
    card.seek(SeekFrom::Start(0))?;
    card.write_all(&sector)
}

/// Copies `source` to `name`, whose folders are made.
fn copy<T: Read + Write + Seek>(mut source: File, system: &FileSystem<T>, name: &str) -> std::io::Result<()> {
    let mut folder = system.root_dir();
    let (folders, file) = name.rsplit_once('/').unwrap_or(("", name));
    for part in folders.split('/').filter(|part| !part.is_empty()) {
        folder = folder.create_dir(part)?;
    }
    let mut file = folder.create_file(file)?;
    file.truncate()?;
    std::io::copy(&mut source, &mut file)?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_on_a_card_is_on_it() {
        let place = std::env::temp_dir().join(format!("portunus-card-{}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let (source, path) = (place.join("some file"), place.join("card.img"));
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(&source, &bytes).unwrap();
        let item = |name: &str| Item { name: name.into(), source: source.clone() };
        let size = write(&path, &[item("boot.scr"), item("overlays/disable-bt.dtbo")]).unwrap();
        assert_eq!(size, LEAST);
        let mut card = File::open(&path).unwrap();
        let mut sector = [0; 512];
        card.read_exact(&mut sector).unwrap();
        assert_eq!(sector[450], FAT32_LBA);
        assert_eq!(sector[454..462], [0, 8, 0, 0, 0, 0xf8, 1, 0]);
        assert_eq!(sector[510..], [0x55, 0xaa]);
        let part = StreamSlice::new(File::options().read(true).write(true).open(&path).unwrap(), START, size);
        let system = FileSystem::new(part.unwrap(), FsOptions::new()).unwrap();
        assert_eq!(system.fat_type(), FatType::Fat32);
        for name in ["boot.scr", "overlays/disable-bt.dtbo"] {
            let mut found = Vec::new();
            system.root_dir().open_file(name).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == bytes, "{name}");
        }
        fs::remove_dir_all(place).unwrap();
    }
}
