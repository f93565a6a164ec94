//! The machine's interrupt controller, whichever version it has.

use alloc::string::String;

use portunus::addr::{Affinity, IntId};
use portunus::mm::stage1::Kind;
use portunus::plan::Gic;
use spin::Once;

use super::gicv3::{self, Distributor, Redistributor};
use super::{map, probe};

/// The distributor, once it is prepared.
static DISTRIBUTOR: Once<Distributor> = Once::new();

/// Maps and prepares the controller and the boot CPU's part of it.
///
/// # Errors
///
/// A sentence about what is missing.
pub fn init(controller: &Gic, boot: Affinity) -> Result<Redistributor, String> {
    let Gic::V3 { dist, .. } = controller else {
        return Err(
            "this machine has a GICv2, and only GICv3 is driven yet: on QEMU virt add gic-version=3".into()
        );
    };
    for frame in controller.frames() {
        map::add(frame, Kind::Device)
            .map_err(|why| alloc::format!("GIC frame {frame} cannot be mapped: {why:?}"))?;
        // SAFETY: mapped just now; GICD_CTLR and GICR_CTLR are read without an effect.
        if unsafe { probe::read32(frame.start().get()) }.is_none() {
            return Err(alloc::format!(
                "no interrupt controller answers at {frame}: is this the tree of this machine?"
            ));
        }
    }
    // SAFETY: the tree says that the distributor is here; mapped as Device memory just now.
    let distributor = unsafe { Distributor::new(*dist) };
    distributor.init();
    if !gicv3::init_cpu() {
        return Err("the CPU has no GICv3 interface, or firmware keeps its system registers from EL2 \
                    (ICC_SRE_EL3.Enable): is this the device tree of this machine?"
            .into());
    }
    match redistributor(controller, boot) {
        Some(redistributor) if redistributor.init() => {
            log::info!(
                "GICv3 with {} interrupt lines, {} list registers",
                distributor.lines(),
                gicv3::list_registers()
            );
            DISTRIBUTOR.call_once(|| distributor);
            Ok(redistributor)
        }
        Some(_) => {
            Err("the boot CPU's redistributor does not wake: GICR_WAKER.ChildrenAsleep stays set".into())
        }
        None => Err(
            "the interrupt controller has no redistributor for the boot CPU: does `reg` list every region?"
                .into(),
        ),
    }
}

/// The redistributor of the CPU with `affinity`, if the controller is mapped and has one.
#[must_use]
pub fn redistributor(controller: &Gic, affinity: Affinity) -> Option<Redistributor> {
    let Gic::V3 { redist, stride, .. } = controller else { return None };
    // SAFETY: `init` mapped all regions as Device memory.
    redist.iter().find_map(|region| unsafe { Redistributor::find(*region, *stride, affinity) })
}

/// Lets SPI `intid` in, on the CPU with `affinity`.
pub fn enable_spi(intid: IntId, affinity: Affinity) {
    if let Some(distributor) = DISTRIBUTOR.get() {
        distributor.enable(intid, affinity);
    }
}
