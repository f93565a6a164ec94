//! The distributor's registers (GICD_*; IHI 0069, "The GIC Distributor register map").

use super::super::bits::Array;
use super::super::{Refused, VcpuSet, Vgic, Width};
use crate::addr::{Affinity, VcpuId};

const CTLR: u64 = 0x0000;
const TYPER: u64 = 0x0004;
const IIDR: u64 = 0x0008;
const IROUTER: u64 = 0x6000;
const IROUTER_END: u64 = 0x7fe0;
pub(super) const PIDR2: u64 = 0xffe8;

/// GICD_CTLR.EnableGrp1: bit 1 in the view of a single security state.
const ENABLE_GRP1: u64 = 1 << 1;
/// GICD_CTLR.ARE and GICD_CTLR.DS: always one.
const ARE_DS: u64 = 1 << 4 | 1 << 6;

/// Implementer Arm (0x43b), product 0x50. Matches none of the parts that guests know a workaround for.
pub(super) const IIDR_VALUE: u64 = 0x5000_043b;
/// Architecture revision 3 (GICv3) and the JEDEC bits that go with it.
pub(super) const PIDR2_VALUE: u64 = 0x3b;

impl Vgic {
    pub(super) fn read_distributor(&self, offset: u64, width: Width) -> Result<u64, Refused> {
        if let Some(array) = Array::at(offset) {
            array.check(width)?;
            return Ok(self.read_spis(array, width));
        }
        let value = match offset {
            IROUTER..IROUTER_END => return self.read_route(offset, width),
            PIDR2 => Some(PIDR2_VALUE),
            _ => self.head(offset),
        };
        match value {
            None => Ok(0),
            Some(value) if width == Width::Word => Ok(value),
            Some(_) => Err(Refused),
        }
    }

    /// The word at one of the first places of the distributor, before what there is for each of many interrupts.
    #[inline(always)]
    pub(in super::super) fn head(&self, offset: u64) -> Option<u64> {
        match offset {
            CTLR => Some(ARE_DS | if self.is_enabled() { ENABLE_GRP1 } else { 0 }),
            TYPER => Some(self.typer()),
            IIDR => Some(IIDR_VALUE),
            _ => None,
        }
    }

    pub(super) fn write_distributor(
        &self,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<VcpuSet, Refused> {
        if let Some(array) = Array::at(offset) {
            array.check(width)?;
            return Ok(self.write_spis(array, width, value));
        }
        match offset {
            IROUTER..IROUTER_END => self.write_route(offset, width, value),
            CTLR if width == Width::Word => Ok(self.set_enabled(value & ENABLE_GRP1 != 0)),
            CTLR | TYPER | IIDR | PIDR2 if width != Width::Word => Err(Refused),
            _ => Ok(VcpuSet::EMPTY),
        }
    }

    /// GICD_TYPER: ITLinesNumber, CPUNumber, ten INTID bits, No1N.
    #[inline(always)]
    fn typer(&self) -> u64 {
        let lines = self.spis.len() as u64;
        let cpus = self.cpus.len().min(8).saturating_sub(1) as u64;
        const ID_BITS: u64 = 10 - 1;
        const NO_1_OF_N: u64 = 1 << 25;
        lines | cpus << 5 | ID_BITS << 19 | NO_1_OF_N
    }

    /// GICD_IROUTER<n>, whole or by halves. Aff3 (the upper half) is zero: no vCPU has one. An SPI that was
    /// routed to an affinity no vCPU has reads as one that no vCPU has.
    fn read_route(&self, offset: u64, width: Width) -> Result<u64, Refused> {
        check_route(width)?;
        let Some((index, n)) = locate(offset) else { return Ok(0) };
        let Some(spi) = self.spis.get(index) else { return Ok(0) };
        let affinity = spi.route(n).map_or(Affinity::from_mpidr(0xff_ffff), Affinity::of_vcpu);
        Ok(if offset & 4 == 0 { affinity.get() } else { affinity.get() >> 32 })
    }

    fn write_route(&self, offset: u64, width: Width, value: u64) -> Result<VcpuSet, Refused> {
        check_route(width)?;
        let Some((index, n)) = locate(offset) else { return Ok(VcpuSet::EMPTY) };
        if offset & 4 != 0 {
            return Ok(VcpuSet::EMPTY);
        }
        Ok(self.reroute(index, n, self.vcpu_at(Affinity::from_mpidr(value & 0xff_ffff))))
    }

    /// The vCPU with this affinity.
    pub(super) fn vcpu_at(&self, affinity: Affinity) -> Option<VcpuId> {
        let raw = affinity.get();
        let vcpu = VcpuId::new((raw & 0xf | raw >> 8 << 4) as u16);
        (vcpu.index() < self.cpus.len() && Affinity::of_vcpu(vcpu) == affinity).then_some(vcpu)
    }
}

const fn check_route(width: Width) -> Result<(), Refused> {
    match width {
        Width::Word | Width::Double => Ok(()),
        Width::Byte | Width::Half => Err(Refused),
    }
}

/// The bank of SPIs (counted from 0) and the place in it of the IROUTER at `offset`. There is none for INTIDs
/// below 32.
fn locate(offset: u64) -> Option<(usize, u32)> {
    let spi = ((offset - IROUTER) / 8).checked_sub(32)?;
    Some((spi as usize / 32, spi as u32 % 32))
}
