//! A redistributor's registers (GICR_*; IHI 0069, "The GIC Redistributor register map"): the RD_base frame, then
//! the SGI_base frame.

use super::super::bits::Array;
use super::super::{Refused, VcpuSet, Vgic, Width};
use super::dist::{IIDR_VALUE, PIDR2, PIDR2_VALUE};
use crate::addr::{Affinity, VcpuId};

const CTLR: u64 = 0x0000;
const IIDR: u64 = 0x0004;
const TYPER: u64 = 0x0008;
const TYPER_HIGH: u64 = 0x000c;
/// Reads as zero, "awake": a virtual redistributor has no power to save. A guest that writes ProcessorSleep
/// and reads it back as zero knows that.
const WAKER: u64 = 0x0014;
const SGI_BASE: u64 = 0x1_0000;

impl Vgic {
    pub(super) fn read_redistributor(&self, vcpu: VcpuId, offset: u64, width: Width) -> Result<u64, Refused> {
        let private = self.private(vcpu).ok_or(Refused)?;
        if let Some(array) = array_at(offset) {
            array.check(width)?;
            return Ok(private.read_array(array, width));
        }
        let value = match offset {
            TYPER if width == Width::Double => return Ok(self.redistributor_typer(vcpu)),
            TYPER => self.redistributor_typer(vcpu) & 0xffff_ffff,
            TYPER_HIGH => self.redistributor_typer(vcpu) >> 32,
            CTLR | WAKER => 0,
            IIDR => IIDR_VALUE,
            PIDR2 => PIDR2_VALUE,
            _ => return Ok(0),
        };
        if width == Width::Word { Ok(value) } else { Err(Refused) }
    }

    pub(super) fn write_redistributor(
        &self,
        vcpu: VcpuId,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<VcpuSet, Refused> {
        let private = self.private(vcpu).ok_or(Refused)?;
        if let Some(array) = array_at(offset) {
            array.check(width)?;
            let changed = private.write_array(array, width, value);
            return Ok(if changed { VcpuSet::one(vcpu) } else { VcpuSet::EMPTY });
        }
        match (offset, width) {
            (TYPER, Width::Word | Width::Double) => Ok(VcpuSet::EMPTY),
            (CTLR | IIDR | TYPER | TYPER_HIGH | WAKER | PIDR2, Width::Byte | Width::Half | Width::Double) => {
                Err(Refused)
            }
            _ => Ok(VcpuSet::EMPTY),
        }
    }

    /// GICR_TYPER: affinity, processor number, and Last for the end of the walk. No LPIs.
    fn redistributor_typer(&self, vcpu: VcpuId) -> u64 {
        const LAST: u64 = 1 << 4;
        let last = if vcpu.index() + 1 == self.cpus.len() { LAST } else { 0 };
        u64::from(Affinity::of_vcpu(vcpu).packed()) << 32 | u64::from(vcpu.get()) << 8 | last
    }
}

/// The array register at `offset`, if it is one of SGI_base.
fn array_at(offset: u64) -> Option<Array> {
    Array::at(offset.checked_sub(SGI_BASE)?)
}
