//! Where everything of an image that unpacks itself lies, and what its front is told of that (boot/unpack/src/entry.S).

use crate::format::{ENTRIES, FIELDS, REGISTERS, ROWS};

/// What unpacking works with: rows of codes, tables, and five lists of a page each.
const WORK: usize = ROWS * FIELDS.next_power_of_two() * REGISTERS * 4 + ENTRIES * 2 + 5 * PAGE;
/// The tables of the MMU, behind that.
const TABLES: usize = 2 * PAGE;
const PAGE: usize = 4096;
/// Where an arm64 Image says how much memory it takes (Linux, Documentation/arch/arm64/booting.rst).
const IMAGE_SIZE: usize = 16;
/// And, behind it, its flags.
const FLAGS: usize = 24;
/// Where the front is told what lies where, in four words.
const LAYOUT: usize = 64;

/// An Image of `front` and `stream`, which unpacks to `image`: an Image as well, of which the header is taken. The stream is read
/// by what lies at its front, so all that lies in memory is told to that.
pub fn image(front: &[u8], stream: &[u32], image: &[u8]) -> Result<Vec<u8>, String> {
    let mut file = front.to_vec();
    pad(&mut file);
    let begin = file.len();
    file.extend(stream.iter().flat_map(|word| word.to_le_bytes()));
    pad(&mut file);
    let claimed =
        image.get(IMAGE_SIZE..FLAGS).and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let claimed = claimed.ok_or("no header at the start of the image")? as usize;
    let moved = image.len().next_multiple_of(PAGE);
    if file.len() > moved {
        return Err(format!(
            "{} bytes become {}: they cannot move out of their own way",
            image.len(),
            file.len()
        ));
    }
    let end = (moved + file.len() + WORK).next_multiple_of(PAGE);
    let size = claimed.max(end + TABLES) as u64;
    let layout: Vec<u8> =
        [begin, file.len(), moved, end].iter().flat_map(|at| (*at as u32).to_le_bytes()).collect();
    let flags = image.get(FLAGS..FLAGS + 8).unwrap_or_default();
    for (at, bytes) in [(IMAGE_SIZE, &size.to_le_bytes()[..]), (FLAGS, flags), (LAYOUT, &layout)] {
        let place = file.get_mut(at..at + bytes.len()).ok_or("no header at the front of the image")?;
        place.copy_from_slice(bytes);
    }
    Ok(file)
}

/// To a multiple of 16: the file is copied in pieces of that.
fn pad(file: &mut Vec<u8>) {
    file.resize(file.len().next_multiple_of(16), 0);
}
