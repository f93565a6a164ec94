//! The boot of the first CPU: each step may fail only in a way that says what to do.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use portunus::addr::{Affinity, CpuId, MIB, PAGE_SIZE, Pa, PaSpan};
use portunus::domain::map::{TIMER_PHYSICAL, TIMER_VIRTUAL};
use portunus::domain::seed::Seed;
use portunus::fdt::{self, Tree};
use portunus::mm::frames::Frames;
use portunus::mm::spans;
use portunus::mm::stage1::{Kind, pa_bits};
use portunus::plan::{self, Cpu, Diagnostics, EarlyConsole, EnableMethod, Machine, Plan, Severity, Table};
use portunus::prediction::Verdict;
use portunus::vdev::idregs::features;

use crate::arch::aarch64::psci::Firmware;
use crate::arch::aarch64::secondary::Absent;
use crate::arch::aarch64::sysreg::{CNTFRQ_EL0, ID_AA64MMFR0_EL1, MIDR_EL1, MPIDR_EL1};
use crate::arch::aarch64::{gic, harden, ids, map, park, percpu, probe, report, secondary, timer};
use crate::platform::{console, rtc};
use crate::run::{self, Pcpu};
use crate::{build, heap};

/// A secondary CPU's stack in pages, the unmapped guard page below it included; a power of two.
const STACK_PAGES: usize = 8;

/// First Rust code with the MMU on, called by boot/head.S. `address` is what the loader left in x0.
#[unsafe(no_mangle)]
extern "C" fn boot_main(address: u64) -> ! {
    heap::start();
    console::start_log();
    if let Err(reason) = boot(address) {
        if !console::is_open() {
            console::use_last_resort();
        }
        log::error!("{reason}");
        log::error!("this machine stops here");
    }
    park()
}

/// Entered at a level where a hypervisor cannot run: say so on the UART of the tree, if there is one. The MMU is
/// off and faults are not survivable, so nothing is probed.
#[unsafe(no_mangle)]
extern "C" fn wrong_exception_level(address: u64, level: u64) {
    heap::start();
    if address == 0 || !address.is_multiple_of(8) {
        return;
    }
    // SAFETY: the boot protocol promises a tree here, and it is checked before it is believed.
    let Ok(blob) = (unsafe { blob_at(address) }) else { return };
    let Ok(tree) = Tree::parse(blob) else { return };
    if let Some(uart) = plan::early_console(&tree).uart.or_else(|| plan::any_uart(&tree)) {
        // SAFETY: the tree says that this UART is there; the MMU is off, so the access is a device access.
        unsafe { console::open(uart.kind, uart.regs) };
        let _ = writeln!(
            console::emergency(),
            "(portunus) error: entered at EL{level}, but a hypervisor needs EL2: on QEMU virt add \
             virtualization=on, on a board let the firmware start it at EL2"
        );
    }
}

/// The blob at `address`, as long as its header says.
///
/// # Safety
///
/// The bytes are readable RAM that nobody else writes to.
unsafe fn blob_at(address: u64) -> Result<&'static [u8], fdt::FdtError> {
    // SAFETY: the caller's promise.
    let header = unsafe { core::slice::from_raw_parts(address as *const u8, fdt::HEADER) };
    let size = fdt::claimed_size(header)?;
    // SAFETY: as above.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, size) })
}

/// The boot, in order.
fn boot(address: u64) -> Result<(), String> {
    let blob = map_tree(address)?;
    let image = map::image().ok_or("the image has no size")?;
    let tree_span = PaSpan::new(Pa::new(address), blob.len() as u64).ok_or("the device tree wraps")?;
    let tree = Tree::parse(blob).map_err(|error| format!("x0 = {address:#x}: {error}"))?;
    let early = open_console(&tree)?;
    let mut diagnostics = Diagnostics::new();
    let machine = plan::machine_behind(early, &tree, &mut diagnostics);
    let Some(mut machine) = machine else {
        report(&diagnostics);
        return Err("the device tree does not describe a machine that can be used".into());
    };
    machine.claim(vec![image, tree_span]);
    banner(&machine);
    if CNTFRQ_EL0::read() == 0 {
        return Err(
            "the counter's frequency, CNTFRQ_EL0, is 0: only firmware can set it, and guests read it".into(),
        );
    }

    let free = machine.free();
    let stacks = stacks(&mut Frames::new(&free), &machine)?;
    let mut frames = Frames::new(&map_ram(&free, &stacks));
    let boot_affinity = Affinity::from_mpidr(MPIDR_EL1::read());
    let boot_gic = gic::init(&machine.gic, boot_affinity)?;
    let pcpus = start_cpus(&machine, boot_affinity, boot_gic, &stacks)?;
    let online: Vec<CpuId> = pcpus.iter().map(|pcpu| pcpu.cpu).collect();
    log::info!(
        "{} of {} CPUs ready, {} MiB of RAM free",
        online.len(),
        machine.cpus.len(),
        frames.free_bytes() / MIB
    );
    tell_predictions(&pcpus);
    heap::lend(&mut frames);
    let plan = plan::domains_of(&tree, &machine, &online, &build::InMemory, &mut diagnostics);
    show(&plan, &diagnostics);
    check_timer(&plan.machine)?;
    let more = heap::provide(&mut frames, &plan);
    let free = frames.free_bytes();
    let seed = tree.at("/chosen", |node| Seed::new(node.prop("rng-seed")?.value)).flatten();
    let utc = plan::clock(&tree).and_then(rtc::seconds).unwrap_or(0);
    let (world, multiplexer) = build::world(&plan, &mut frames, &pcpus, seed, utc, heap::refused)?;
    let domains = world.domains.iter().flatten().count();
    drop((plan, diagnostics, machine));
    let stacks = stacks.iter().map(PaSpan::size).sum();
    let built = free - frames.free_bytes();
    heap::seal(&mut frames, world, &heap::Kept { stacks, heap: more, built });
    if domains == 0 {
        run::nothing_to_run(world);
        return Ok(());
    }
    if let Some(uart) = world.uart_irq {
        gic::enable_spi(uart);
    }
    let noun = if domains == 1 { "domain" } else { "domains" };
    log::info!("{domains} {noun} unpaused, the counter at {}", timer::now());
    console::go_live(multiplexer, run::this_cpu, run::remind_of_console, world.uart_irq.is_some());
    multiplexer.switch_focus(percpu::this().cpu);
    secondary::release();
    run::start(percpu::this())
}

/// Guests find their timers at the interrupts that Xen's map promises, and each is linked to the physical interrupt of
/// the same number. What EL2 takes for itself has numbers of its own.
fn check_timer(machine: &Machine) -> Result<(), String> {
    let (virt, phys, hyp) = (machine.timer.virt, machine.timer.phys, machine.timer.hyp);
    if virt != TIMER_VIRTUAL || phys != TIMER_PHYSICAL {
        return Err(format!(
            "the timer node gives interrupts {virt} and {phys} to the virtual and physical timer; only \
             {TIMER_VIRTUAL} and {TIMER_PHYSICAL}, those of every Arm core, can be given to guests"
        ));
    }
    let maintenance = machine.gic.maintenance();
    let mine = [hyp, maintenance];
    if hyp == maintenance || mine.iter().any(|intid| intid.is_sgi() || [virt, phys].contains(intid)) {
        return Err(format!(
            "interrupts {hyp} and {maintenance} of the hypervisor's timer and of the GIC's maintenance are not two more \
             private peripheral interrupts beside {virt} and {phys}"
        ));
    }
    Ok(())
}

/// The plan as a table, and what is wrong with the tree.
fn show(plan: &Plan, diagnostics: &Diagnostics) {
    log::info!("{}", Table(plan));
    report(diagnostics);
}

/// Prints the diagnostics and their count.
fn report(diagnostics: &Diagnostics) {
    for diagnostic in diagnostics.kept() {
        log::info!("{diagnostic}");
    }
    if diagnostics.dropped() != 0 {
        log::info!("{} more diagnostics are not shown", diagnostics.dropped());
    }
    let (errors, warnings) = (diagnostics.errors(), diagnostics.count(Severity::Warning));
    if errors + warnings != 0 {
        log::info!("device tree: {errors} errors, {warnings} warnings");
    }
}

/// Maps what x0 points at, step by step, believing nothing.
fn map_tree(address: u64) -> Result<&'static [u8], String> {
    let hint = "the loader must pass the address of a device tree in x0 (QEMU: an arm64 Image with -kernel, not an ELF)";
    let limit = 1 << pa_bits(ID_AA64MMFR0_EL1::read());
    if address == 0 || !address.is_multiple_of(8) || address > limit - 2 * PAGE_SIZE {
        return Err(format!("x0 = {address:#x} is no address of a device tree; {hint}"));
    }
    let map = |start: u64, size: u64| {
        let span = PaSpan::new(Pa::new(start), size).ok_or("it wraps")?;
        map::add(span, Kind::Ram).map_err(|_| "it overlaps the hypervisor, or lies too high")
    };
    let page = Pa::new(address).page().get();
    // Two pages hold the header wherever it begins.
    map(page, 2 * PAGE_SIZE)
        .map_err(|why| format!("the device tree at {address:#x} cannot be mapped: {why}"))?;
    // SAFETY: aligned, and mapped just now.
    if unsafe { probe::read32(address) }.is_none() {
        return Err(format!("x0 = {address:#x} points at no memory; {hint}"));
    }
    // SAFETY: the header lies in the two pages that answered.
    let header = unsafe { core::slice::from_raw_parts(address as *const u8, fdt::HEADER) };
    let size = fdt::claimed_size(header).map_err(|error| format!("x0 = {address:#x}: {error}; {hint}"))?;
    let (mapped, end) = (page + 2 * PAGE_SIZE, address + size as u64);
    if end > mapped {
        map(mapped, end - mapped)
            .map_err(|why| format!("the device tree at {address:#x} cannot be mapped: {why}"))?;
    }
    // SAFETY: mapped, and the boot protocol gives the tree to us.
    unsafe { blob_at(address) }.map_err(|error| format!("{error}"))
}

/// Opens the console that the tree names. If it names none, any UART will do to say so.
fn open_console(tree: &Tree<'_>) -> Result<EarlyConsole, String> {
    let unnamed = "the tree names no UART that can be driven: set /chosen/stdout-path, or dtuart= in \
                   /chosen/xen,xen-bootargs, to the path or alias of one";
    let early = plan::early_console(tree);
    let any = if early.uart.is_none() { plan::any_uart(tree) } else { None };
    let uart = early.uart.as_ref().or(any.as_ref()).ok_or(unnamed)?;
    map::add(uart.regs, Kind::Device).map_err(|why| format!("{}: cannot be mapped: {why:?}", uart.path))?;
    let status = uart.regs.start().get() + console::status_register(uart.kind);
    // SAFETY: mapped as Device memory just now; reading it has no effect that matters.
    if unsafe { probe::read32(status) }.is_none() {
        return Err(format!(
            "{}: nothing answers at {}: is this the tree of this machine?",
            uart.path, uart.regs
        ));
    }
    // SAFETY: mapped as Device memory just now, and the tree says what it is; this CPU runs alone.
    unsafe { console::open(uart.kind, uart.regs) };
    if any.is_none() { Ok(early) } else { Err(unnamed.into()) }
}

fn banner(machine: &Machine) {
    let ram: u64 = machine.ram.iter().map(PaSpan::size).sum();
    log::info!("Portunus {} on {}", env!("CARGO_PKG_VERSION"), machine.model);
    log::info!(
        "{} CPUs (boot CPU {:#x}, MIDR {:#010x}), {}-bit physical addresses, counter {} Hz",
        machine.cpus.len(),
        MPIDR_EL1::read() & 0xff_00ff_ffff,
        MIDR_EL1::read(),
        pa_bits(ID_AA64MMFR0_EL1::read()),
        CNTFRQ_EL0::read(),
    );
    let ids = ids::gather();
    log::info!("features found: {}", features(&ids).collect::<Vec<_>>().join(", "));
    for bank in &machine.ram {
        log::info!("RAM {bank}, {} MiB", bank.size() / MIB);
    }
    log::info!("{} MiB of RAM, {} reserved ranges", ram / MIB, machine.reserved.len());
}

/// What the CPUs do about their branch predictors: one line for all that do the same.
fn tell_predictions(pcpus: &[&Pcpu]) {
    let mut told: Vec<Verdict> = Vec::new();
    for (pcpu, verdict) in pcpus.iter().filter_map(|pcpu| Some((pcpu, *pcpu.verdict.get()?))) {
        if !told.contains(&verdict) {
            log::info!("branch prediction, CPU {} and its like: {verdict}", pcpu.cpu);
            told.push(verdict);
        }
    }
}

/// A stack for every CPU but the first to come: its lowest page is a guard.
fn stacks(frames: &mut Frames, machine: &Machine) -> Result<Vec<PaSpan>, String> {
    let size = STACK_PAGES as u64 * PAGE_SIZE;
    machine
        .cpus
        .iter()
        .map(|_| frames.allocate(STACK_PAGES).and_then(|start| PaSpan::new(start, size)))
        .collect::<Option<_>>()
        .ok_or_else(|| String::from("no RAM is left for the stacks of the CPUs: every byte is reserved"))
}

/// Maps all free RAM except the guard pages. Answers what can be handed out: mapped, and no stack. What does not fit
/// the tables is left out and said so.
fn map_ram(free: &[PaSpan], stacks: &[PaSpan]) -> Vec<PaSpan> {
    let guards = stacks.iter().filter_map(|stack| PaSpan::new(stack.start(), PAGE_SIZE)).collect();
    let mut mapped = Vec::new();
    for span in spans::without(free, &spans::merged(guards)) {
        // Inwards to whole pages: a partial page at an end may belong to someone else.
        let start = span.start().align_up(PAGE_SIZE);
        let whole = start.and_then(|start| PaSpan::from_bounds(start, span.end().page()));
        if let Some(whole) = whole.filter(|whole| !whole.is_empty()) {
            match map::add(whole, Kind::Ram) {
                Ok(()) => mapped.push(whole),
                Err(why) => log::warn!("RAM {whole} stays unused: it cannot be mapped ({why:?})"),
            }
        }
    }
    spans::without(&mapped, &spans::merged(stacks.to_vec()))
}

/// Starts every CPU but this one; answers which run, this one among them, in the tree's order.
#[inline(never)] // what it takes of the stack is for others when it is done
fn start_cpus(
    machine: &Machine,
    boot: Affinity,
    boot_gic: gic::Private,
    stacks: &[PaSpan],
) -> Result<Vec<&'static Pcpu>, String> {
    let firmware = machine.psci.map(Firmware::new);
    if let Some(firmware) = firmware {
        harden::adopt(firmware);
    }
    let mut running = Vec::new();
    for (cpu, stack) in machine.cpus.iter().zip(stacks) {
        if cpu.affinity == boot {
            let stack = map::boot_stack().ok_or("the boot stack has no size")?;
            let pcpu: &Pcpu = Box::leak(Box::new(Pcpu::new(cpu.id, cpu.affinity, boot_gic, stack)));
            percpu::adopt(pcpu);
            pcpu.doorbell.sgi.learn();
            pcpu.verdict.call_once(|| harden::protect(pcpu));
            pcpu.ids.call_once(ids::gather);
            running.push(pcpu);
            continue;
        }
        let Some(private) = gic::private(&machine.gic, cpu.affinity) else {
            log::warn!(
                "CPU {} ({}) stays off: the interrupt controller has no redistributor for it",
                cpu.id,
                cpu.affinity
            );
            continue;
        };
        let pcpu: &Pcpu = Box::leak(Box::new(Pcpu::new(cpu.id, cpu.affinity, private, *stack)));
        // SAFETY: the stack was allocated for this CPU and is mapped but for its guard; the block is leaked.
        let start = || unsafe { secondary::bring_up(cpu, firmware, stack.end().get(), pcpu) };
        match map_mailbox(machine, cpu).and_then(|()| start()) {
            Ok(()) => running.push(pcpu),
            Err(reason) => log::warn!("CPU {} ({}) stays off: {reason}", cpu.id, cpu.affinity),
        }
    }
    if running.iter().any(|pcpu| pcpu.affinity == boot) {
        Ok(running)
    } else {
        Err(format!(
            "no node under /cpus describes the boot CPU ({boot}): its `reg` would be {:#x}",
            boot.get()
        ))
    }
}

/// Maps the word by which a CPU that spins is released. Reserved RAM it must be: elsewhere the CPU and its mailbox would
/// be overwritten, or the write would meet somebody else's memory.
fn map_mailbox(machine: &Machine, cpu: &Cpu) -> Result<(), Absent> {
    let EnableMethod::SpinTable(release) = cpu.enable else { return Ok(()) };
    let word = PaSpan::new(release, 8).ok_or(Absent::Mailbox(release))?;
    let within = |spans: &[PaSpan]| spans.iter().any(|span| span.covers(&word));
    let ours = map::image().is_none_or(|image| image.overlaps(&word));
    let usable = within(&machine.ram) && within(&machine.reserved) && !ours;
    if usable && map::add_rest(word).is_ok() { Ok(()) } else { Err(Absent::Mailbox(release)) }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if percpu::is_known() {
        report::stop_others();
    }
    let _ = writeln!(console::emergency(), "(portunus) broken invariant: {info}");
    park()
}
