//! What is in the boot modules: whether a kernel is one, and whether it leaves room for the rest of its domain.
//!
//! Decides by the first bytes of a kernel, and the last of a compressed one. Trusts nothing in them. Whoever cannot
//! show the modules ([`Unseen`]) is told nothing about them; whoever has the time ([`Files::are_unpacked`]) learns here that a
//! compressed kernel is damaged, and everybody else when it is unpacked for the domain ([`no_kernel`]).

use alloc::string::{String, ToString};

use super::code::Code;
use super::diagnostic::{At, Diagnostic, Diagnostics};
use super::modules::Images;
use super::{DomainPlan, KernelPlan};
use crate::addr::PaSpan;
use crate::domain::guest_dtb;
use crate::domain::gzip::Sink;
use crate::domain::image::{self, File, ImageError, Kernel};
use crate::domain::layout::{self, LayoutError};
use crate::fdt::Node;

/// The bytes of boot modules, for those who have them.
pub trait Files {
    /// The module at `span`, all of it; nothing if it cannot be looked at.
    fn bytes(&self, span: PaSpan) -> Option<&[u8]>;
    /// Whether compressed kernels are unpacked to the end just to see that they can be.
    fn are_unpacked(&self) -> bool {
        false
    }
}

/// Modules that nobody has: a tree alone is planned.
#[derive(Clone, Copy, Debug)]
pub struct Unseen;

impl Files for Unseen {
    fn bytes(&self, _: PaSpan) -> Option<&[u8]> {
        None
    }
}

/// Reports a kernel that is none, and images that do not fit together into `room`: the domain's bytes of memory and its
/// number of vCPUs, if these can be told.
pub(super) fn inspect(
    domain: &Node<'_, '_>,
    images: &Images,
    room: Option<(u64, u32)>,
    files: &dyn Files,
    diags: &mut Diagnostics,
) {
    let Some(plan) = &images.kernel else { return };
    let limit = room.map_or(u64::MAX, |(memory, _)| memory);
    let kernel = match look(plan, limit, files) {
        Ok(Some(kernel)) => kernel,
        Ok(None) => return,
        Err(error) => {
            let help = error.help();
            diags.report(
                code(error),
                At::node(&plan.path),
                format_args!("{}", InModule(error, plan.image)),
                format_args!("{help}"),
            );
            return;
        }
    };
    let Some((memory, vcpus)) = room else { return };
    // Its channels are not known yet. With as many as there can be, it takes the same single block.
    let tree = guest_dtb::room(u16::try_from(vcpus).unwrap_or(u16::MAX), &images.cmdline, &[]);
    if let Err(error) = layout::plan(memory, kernel, tree, images.ramdisk.map_or(0, |module| module.size())) {
        diags.report(
            misfit(error),
            At::prop(domain, "memory"),
            format_args!("{error}"),
            format_args!("give the domain more memory; memory counts KiB"),
        );
    }
}

/// What the kernel needs, if it can be looked at.
fn look(plan: &KernelPlan, limit: u64, files: &dyn Files) -> Result<Option<Kernel>, ImageError> {
    if plan.raw {
        return Ok(Some(image::raw(plan.image.size())));
    }
    let Some(bytes) = files.bytes(plan.image) else { return Ok(None) };
    let mut workspace = None;
    let (file, kernel) = File::open(bytes, limit, &mut workspace)?;
    if let (File::Gzip(gzip), Some(workspace)) = (file, &mut workspace)
        && files.are_unpacked()
    {
        gzip.unpack(workspace, &mut Nowhere).map_err(ImageError::Gzip)?;
    }
    Ok(Some(kernel))
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn write(&mut self, _: &[u8]) -> bool {
        true
    }
}

/// What is wrong with the kernel of `domain`, found when it was loaded.
#[must_use]
pub fn no_kernel(domain: &DomainPlan, error: ImageError) -> Diagnostic {
    Diagnostic {
        code: code(error),
        path: domain.kernel.path.clone(),
        property: None,
        cell: None,
        what: InModule(error, domain.kernel.image).to_string(),
        help: String::from(error.help()),
    }
}

/// Why the images of `domain` do not fit its memory, found when they were loaded.
#[must_use]
pub fn no_room(domain: &DomainPlan, error: LayoutError) -> Diagnostic {
    Diagnostic {
        code: misfit(error),
        path: domain.path.clone(),
        property: Some(String::from("memory")),
        cell: None,
        what: error.to_string(),
        help: String::from("give the domain more memory; memory counts KiB"),
    }
}

const fn code(error: ImageError) -> Code {
    match error {
        ImageError::TooShort(_) | ImageError::NotAnImage => Code::KernelNoImage,
        ImageError::Compressed(_) => Code::KernelCompression,
        ImageError::Gzip(_) => Code::KernelUnpack,
        ImageError::NoRoom => Code::KernelTooLarge,
        ImageError::BigEndian | ImageError::BadOffset(_) | ImageError::TooLarge(_) => Code::KernelHeader,
    }
}

const fn misfit(error: LayoutError) -> Code {
    match error {
        LayoutError::BadMemory(_) => Code::MemoryUnaligned,
        LayoutError::KernelTooLarge { .. } => Code::KernelTooLarge,
        LayoutError::NoRoom { .. } => Code::RamdiskNoRoom,
    }
}

/// What is wrong with a kernel, and where the file was looked for.
struct InModule(ImageError, PaSpan);

impl core::fmt::Display for InModule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}; the module is at {}, {} bytes", self.0, self.1.start(), self.1.size())
    }
}
