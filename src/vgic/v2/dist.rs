//! The distributor's registers (GICD_*; IHI 0048, 4.3).

use super::super::bits::{Array, Flag};
use super::super::{Refused, VcpuSet, Vgic, Width};
use super::{MAX_VCPUS, Register, bit};
use crate::addr::VcpuId;

const CTLR: u64 = 0x000;
const TYPER: u64 = 0x004;
const IIDR: u64 = 0x008;
const ITARGETSR: u64 = 0x800;
const ITARGETSR_END: u64 = 0xbfc;
pub(super) const SGIR: u64 = 0xf00;
const CPENDSGIR: u64 = 0xf10;
const SPENDSGIR: u64 = 0xf20;
const SPENDSGIR_END: u64 = 0xf30;
const PIDR2: u64 = 0xfe8;

/// GICD_CTLR.EnableGrp0: the only enable where there is one security state and one group.
const ENABLE: u64 = 1;
/// Implementer Arm (0x43b), product 0x50. Matches none of the parts that guests know a workaround for.
const IIDR_VALUE: u64 = 0x5000_043b;
/// Architecture revision 2 (GICv2) and the JEDEC bits that go with it.
const PIDR2_VALUE: u64 = 0x2b;
/// SGIs of a word of pending bits: changed by GICD_SPENDSGIR and GICD_CPENDSGIR only (IHI 0048, 4.3.7).
const SGIS: u64 = 0xffff;

/// What is at an offset.
enum Place {
    Array(Array),
    /// A byte of targets for each interrupt, from this INTID on.
    Targets(u64),
    /// A byte of senders for each SGI, from this one on; ones set, or clear.
    SgiPending(u64, bool),
    Word,
}

impl Place {
    /// What `register` is, accessed with `width`.
    fn of(register: Register, width: Width) -> Result<Self, Refused> {
        let offset = register.offset;
        if !offset.is_multiple_of(width.bytes()) {
            return Err(Refused);
        }
        let place = match offset {
            ITARGETSR..ITARGETSR_END => Self::Targets(offset - ITARGETSR),
            CPENDSGIR..SPENDSGIR => Self::SgiPending(offset - CPENDSGIR, false),
            SPENDSGIR..SPENDSGIR_END => Self::SgiPending(offset - SPENDSGIR, true),
            _ => Array::at(offset).map_or(Self::Word, Self::Array),
        };
        match (&place, width) {
            (Self::Array(array), _) => array.check(width)?,
            (_, Width::Word) | (Self::Targets(_) | Self::SgiPending(..), Width::Byte) => {}
            _ => return Err(Refused),
        }
        Ok(place)
    }
}

/// Puts together the bytes of an access.
fn gather(width: Width, byte: impl Fn(u64) -> u8) -> u64 {
    (0..width.bytes()).fold(0, |word, i| word | u64::from(byte(i)) << (8 * i))
}

/// Takes an access apart: each byte with its number.
fn scatter(width: Width, value: u64) -> impl Iterator<Item = (u64, u8)> {
    (0..width.bytes()).map(move |i| (i, (value >> (8 * i)) as u8))
}

impl Vgic {
    /// Reads a register of a GICv2.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the access is not aligned or not of a width the register has.
    pub fn read_v2(&self, register: Register, width: Width) -> Result<u64, Refused> {
        let vcpu = register.vcpu;
        let private = self.private(vcpu).ok_or(Refused)?;
        Ok(match Place::of(register, width)? {
            Place::Array(Array::Flags(Flag::Group, _)) => 0,
            Place::Array(array) if array.first() < 32 => private.read_array(array, width),
            Place::Array(array) => self.read_spis(array, width),
            Place::Targets(first) => gather(width, |i| self.targets(vcpu, first + i)),
            Place::SgiPending(first, _) => gather(width, |i| self.sgi_senders(vcpu, first + i)),
            Place::Word if register.offset == PIDR2 => PIDR2_VALUE,
            Place::Word => self.head_v2(register).unwrap_or(0),
        })
    }

    /// The word at one of the first places of the distributor, before what there is for each of many interrupts.
    #[inline(always)]
    pub(in super::super) fn head_v2(&self, register: Register) -> Option<u64> {
        match register.offset {
            CTLR => Some(u64::from(self.is_enabled()) * ENABLE),
            TYPER => Some(self.spis.len() as u64 | (self.cpus.len().clamp(1, MAX_VCPUS) as u64 - 1) << 5),
            IIDR => Some(IIDR_VALUE),
            _ => None,
        }
    }

    /// Writes a register of a GICv2. Bits of `value` above `width` are ignored. Returns who needs attention.
    ///
    /// # Errors
    ///
    /// As for [`read_v2`](Self::read_v2); then nothing has changed.
    pub fn write_v2(&self, register: Register, width: Width, value: u64) -> Result<VcpuSet, Refused> {
        let vcpu = register.vcpu;
        let private = self.private(vcpu).ok_or(Refused)?;
        let changed = match Place::of(register, width)? {
            Place::Array(Array::Flags(Flag::Group, _)) => false,
            Place::Array(array @ Array::Flags(Flag::Pending(_), 0)) => {
                private.write_array(array, width, value & !SGIS)
            }
            Place::Array(array) if array.first() < 32 => private.write_array(array, width, value),
            Place::Array(array) => return Ok(self.write_spis(array, width, value)),
            Place::Targets(first) => {
                let each = scatter(width, value).map(|(i, mask)| self.set_targets(first + i, mask));
                return Ok(each.fold(VcpuSet::EMPTY, VcpuSet::union));
            }
            Place::SgiPending(first, set) => scatter(width, value)
                .fold(false, |changed, (i, senders)| changed | self.pend_sgi(vcpu, first + i, senders, set)),
            Place::Word => match register.offset {
                CTLR => return Ok(self.set_enabled(value & ENABLE != 0)),
                SGIR => return Ok(self.sgir(vcpu, value)),
                _ => false,
            },
        };
        Ok(if changed { VcpuSet::one(vcpu) } else { VcpuSet::EMPTY })
    }

    /// GICD_ITARGETSR of one interrupt: for SGIs and PPIs, the vCPU that reads. Zero for an SPI that goes nowhere or
    /// does not exist.
    fn targets(&self, vcpu: VcpuId, intid: u64) -> u8 {
        let Some((index, n)) = spi(intid) else { return bit(vcpu) };
        self.spis.get(index).and_then(|spi| spi.route(n)).map_or(0, bit)
    }

    /// Sends an SPI to the lowest-numbered vCPU in `mask` that exists; if none does, to nobody: it stays pending.
    fn set_targets(&self, intid: u64, mask: u8) -> VcpuSet {
        let Some((index, n)) = spi(intid) else { return VcpuSet::EMPTY };
        let target = VcpuId::new(mask.trailing_zeros() as u16);
        self.reroute(index, n, (target.index() < self.cpus.len()).then_some(target))
    }
}

/// The bank of SPIs (counted from 0) and the place in it of `intid`. There is none for INTIDs below 32.
fn spi(intid: u64) -> Option<(usize, u32)> {
    let spi = intid.checked_sub(32)?;
    Some((spi as usize / 32, spi as u32 % 32))
}
