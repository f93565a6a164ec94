//! Filling a domain's memory: all of it zeroed, then kernel, ramdisk and device tree put in their places.
//!
//! The same steps at boot and at every restart, so that a domain cannot tell its first life from a later one; only the seed
//! of its random numbers is a new one each time. At a restart other domains share the pCPU, so each [`step`](Loading::step)
//! is short: at most [`CHUNK`] bytes. Trusts the layout; of the files only what unpacking checks again each time. Nothing is
//! allocated here: [`Contents`] holds what does not change, and the caller a [`Workspace`] if the kernel is compressed.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::gzip::{Sink, Unpacking, Workspace};
use super::image::{File, ImageError};
use super::ram::{self, Extent};
use super::seed::Seeding;
use crate::addr::{Ipa, IpaSpan, Pa, PaSpan};

/// Most bytes that one step moves where others wait. A small core moves them in some ten microseconds.
pub const CHUNK: u64 = 64 * 1024;

/// A guest's physical memory, as the one who fills it sees it. What is written is clean to the point of coherency
/// afterwards: a guest starts with its caches off.
pub trait Memory {
    /// Zeroes `span`, whole pages.
    fn zero(&mut self, span: PaSpan);
    /// Puts `bytes` at `to`.
    fn copy(&mut self, to: Pa, bytes: &[u8]);
}

/// What a domain's memory holds when it starts.
pub struct Contents {
    /// Its RAM, in ascending order of guest addresses.
    pub extents: Vec<Extent>,
    /// The kernel, and the memory that is its.
    pub kernel: (File<'static>, IpaSpan),
    /// The ramdisk, and where it goes.
    pub ramdisk: Option<(&'static [u8], IpaSpan)>,
    /// The device tree, and where it goes.
    pub tree: (Box<[u8]>, Ipa),
    /// The seed in it, if it has one.
    pub seeding: Option<Seeding>,
}

/// How far the filling has come.
pub struct Loading {
    life: u32,
    most: u64,
    stage: Stage,
}

enum Stage {
    /// RAM: an extent, and how much of it is done.
    Zero(usize, u64),
    /// A kernel as it is: how much of it is done.
    Kernel(u64),
    /// A compressed one, and how much of it has come out.
    Unpack(Unpacking, u64),
    Ramdisk(u64),
    Tree,
    Done,
}

impl Loading {
    /// Nothing is done yet for the life with this number; the first is number 0. A step moves at most `most` bytes.
    #[must_use]
    pub const fn begin(life: u32, most: u64) -> Self {
        Self { life, most, stage: Stage::Zero(0, 0) }
    }

    /// Does a little more. Whether that was all.
    ///
    /// # Errors
    ///
    /// The kernel cannot be unpacked.
    pub fn step(
        &mut self,
        contents: &Contents,
        workspace: Option<&mut Workspace>,
        memory: &mut impl Memory,
    ) -> Result<bool, ImageError> {
        let most = self.most;
        let next = match &mut self.stage {
            Stage::Zero(extent, done) => match zero(contents, *extent, *done, most, memory) {
                Some((extent, done)) => Stage::Zero(extent, done),
                None => kernel(contents, workspace),
            },
            Stage::Kernel(done) => match contents.kernel {
                (File::Plain(bytes), to) => match piece(contents, bytes, to, *done, most, memory)? {
                    Some(done) => Stage::Kernel(done),
                    None => Stage::Ramdisk(0),
                },
                (File::Gzip(_), _) => Stage::Ramdisk(0),
            },
            Stage::Unpack(unpacking, done) => {
                let (File::Gzip(gzip), to) = &contents.kernel else { return Err(ImageError::NoRoom) };
                let workspace = workspace.ok_or(ImageError::NoRoom)?;
                let mut filling = Filling { contents, to: *to, done: *done, memory };
                let ended = unpacking.step(gzip, workspace, &mut filling).map_err(ImageError::Gzip)?;
                *done = filling.done;
                if !ended {
                    return Ok(false);
                }
                Stage::Ramdisk(0)
            }
            Stage::Ramdisk(done) => match contents.ramdisk {
                Some((bytes, to)) => match piece(contents, bytes, to, *done, most, memory)? {
                    Some(done) => Stage::Ramdisk(done),
                    None => Stage::Tree,
                },
                None => Stage::Tree,
            },
            Stage::Tree => {
                let (tree, at) = &contents.tree;
                put(contents, *at, tree, memory).ok_or(ImageError::NoRoom)?;
                if let Some(seeding) = &contents.seeding {
                    let value = seeding.draw(self.life);
                    let value = value.as_flattened().get(..seeding.seed.size()).unwrap_or_default();
                    put(contents, seeding.at, value, memory).ok_or(ImageError::NoRoom)?;
                }
                Stage::Done
            }
            Stage::Done => Stage::Done,
        };
        self.stage = next;
        Ok(matches!(self.stage, Stage::Done))
    }
}

/// The stage behind zeroing.
fn kernel(contents: &Contents, workspace: Option<&mut Workspace>) -> Stage {
    match (&contents.kernel.0, workspace) {
        (File::Gzip(gzip), Some(workspace)) => Stage::Unpack(Unpacking::begin(gzip, workspace), 0),
        _ => Stage::Kernel(0),
    }
}

/// Zeroes a chunk of RAM; answers where the next one begins.
fn zero(
    contents: &Contents,
    extent: usize,
    done: u64,
    most: u64,
    memory: &mut impl Memory,
) -> Option<(usize, u64)> {
    let Extent { span, to } = contents.extents.get(extent)?;
    let size = span.size().saturating_sub(done).min(most);
    memory.zero(PaSpan::new(to.checked_add(done)?, size)?);
    let done = done.saturating_add(size);
    Some(if done < span.size() { (extent, done) } else { (extent.saturating_add(1), 0) })
}

/// Copies the chunk of `bytes` behind the first `done` to its place in `to`; answers how much is done then, or nothing if
/// that is all.
fn piece(
    contents: &Contents,
    bytes: &[u8],
    to: IpaSpan,
    done: u64,
    most: u64,
    memory: &mut impl Memory,
) -> Result<Option<u64>, ImageError> {
    let rest = bytes.get(done as usize..).unwrap_or_default();
    let chunk = rest.get(..rest.len().min(most as usize)).unwrap_or_default();
    let mut filling = Filling { contents, to, done, memory };
    if !filling.write(chunk) {
        return Err(ImageError::NoRoom);
    }
    Ok((chunk.len() < rest.len()).then_some(filling.done))
}

/// Copies `bytes` to guest memory from `at` on, in as many pieces as it lies in. `None` if not all of that is RAM.
fn put(contents: &Contents, at: Ipa, bytes: &[u8], memory: &mut impl Memory) -> Option<()> {
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        let (to, room) = ram::find(&contents.extents, at)?;
        let (piece, behind) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
        memory.copy(to, piece);
        at = at.checked_add(piece.len() as u64)?;
        rest = behind;
    }
    Some(())
}

/// A range of guest memory that is filled from its start on.
struct Filling<'a, M> {
    contents: &'a Contents,
    to: IpaSpan,
    done: u64,
    memory: &'a mut M,
}

impl<M: Memory> Sink for Filling<'_, M> {
    fn write(&mut self, bytes: &[u8]) -> bool {
        let end = self.done.saturating_add(bytes.len() as u64);
        let at = self.to.start().checked_add(self.done).filter(|_| end <= self.to.size());
        self.done = end;
        at.and_then(|at| put(self.contents, at, bytes, self.memory)).is_some()
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
