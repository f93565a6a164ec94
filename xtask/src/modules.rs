//! Which file a module's name in a tree stands for.
//!
//! `linux-6.12`, `linux-6.12.gz` and `initramfs-6.12` are files for Linux domains; any other name is a bare-metal
//! guest, spoilt in a certain way if the name ends so ([`SPOILT`]). `NAME@2` is another copy of NAME: Xen needs one per
//! domain if it is compressed. A name with a `/` is a file of the repository, which is no kernel.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::{guests, linux};

type Spoil = fn(Vec<u8>) -> Result<Vec<u8>, String>;

/// What can be done to a guest: it is compressed and changed in the middle, compressed, and made to claim 64 MiB.
const SPOILT: [(&str, Spoil); 3] = [
    (".gz.damaged", |file| {
        let mut bytes = gzip(file)?;
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(64).for_each(|byte| *byte ^= 0x55);
        Ok(bytes)
    }),
    (".gz", gzip),
    (".huge", |mut file| {
        const IMAGE_SIZE: std::ops::Range<usize> = 16..24;
        let field = file.get_mut(IMAGE_SIZE).ok_or("the guest has no header")?;
        field.copy_from_slice(&(64u64 << 20).to_le_bytes());
        Ok(file)
    }),
];

/// The file behind `name`, made or downloaded if need be.
pub fn path(name: &str) -> Result<String, String> {
    let name = name.split('@').next().unwrap_or_default();
    if name.contains('/') {
        return Ok(name.into());
    }
    if let Some(path) = linux::module(name) {
        return Ok(path?.display().to_string());
    }
    let path = guests::path(name);
    if let Some((guest, spoil)) =
        SPOILT.iter().find_map(|(end, spoil)| Some((name.strip_suffix(end)?, spoil)))
    {
        let guest = guests::path(guest);
        let file = fs::read(&guest).map_err(|e| format!("{guest}: {e}"))?;
        fs::write(&path, spoil(file)?).map_err(|e| format!("{path}: {e}"))?;
    }
    Ok(path)
}

fn gzip(file: Vec<u8>) -> Result<Vec<u8>, String> {
    let gzip = Command::new("gzip").arg("-nc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut gzip = gzip.map_err(|e| format!("gzip: {e}"))?;
    let mut input = gzip.stdin.take().ok_or("gzip takes no input")?;
    let writer = std::thread::spawn(move || input.write_all(&file));
    let output = gzip.wait_with_output().map_err(|e| format!("gzip: {e}"))?;
    match writer.join() {
        Ok(Ok(())) if output.status.success() => Ok(output.stdout),
        _ => Err(format!("gzip: {}", output.status)),
    }
}
