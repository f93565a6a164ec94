//! The table of everything that can be said about a tree.
//!
//! One row per way of being wrong. Numbers are stable: scripts and documentation refer to them, so a number
//! is never given a second meaning. They are grouped by subject: 0xx the tree as a whole, 1xx the machine,
//! 2xx event channels, 3xx domains, 4xx boot modules, 5xx placement, 6xx the command line.

use core::fmt;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is left out: a domain, a channel, a CPU, or everything.
    Error,
    /// The plan holds, but probably not as its author meant it.
    Warning,
    /// Worth knowing.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// The length of a title.
const fn short(title: &str) -> u8 {
    assert!(title.len() <= 255, "a title is a few words");
    title.len() as u8
}

macro_rules! codes {
    ($($name:ident = $number:literal, $severity:ident, $title:literal;)*) => {
        /// What is wrong. Displays as its number, such as `P0214`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// Every code, in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What each code stands for, one behind the other: half the size of their addresses.
            const TITLES: &str = concat!($($title,)*);

            /// How many bytes of them each of [`Self::ALL`] has.
            const LENGTHS: &[u8] = &[$(short($title)),*];

            /// What the code stands for, in a few words.
            #[must_use]
            pub fn title(self) -> &'static str {
                let mut start = 0;
                for (code, length) in Self::ALL.iter().zip(Self::LENGTHS) {
                    let end = start + usize::from(*length);
                    if *code == self {
                        return Self::TITLES.get(start..end).unwrap_or_default();
                    }
                    start = end;
                }
                ""
            }

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    NoChosen = 1, Error, "the tree has no /chosen node";
    NoDomain = 2, Error, "the tree describes no domain";
    DomainMisplaced = 3, Error, "domain in the wrong place";
    TooManyDomains = 4, Error, "too many domains";
    Dom0Kernel = 5, Error, "a dom0 is not built";
    ChosenChild = 6, Warning, "node under /chosen not understood";
    CpuPool = 7, Warning, "CPU pools are not built yet";
    StaticHeap = 8, Note, "the static heap is not used";
    PhandleTwice = 9, Error, "phandle used twice";
    Dom0Ramdisk = 10, Warning, "a ramdisk for dom0";
    UefiConfig = 11, Warning, "no UEFI configuration is read";
    ChosenProperty = 12, Warning, "misspelt property of /chosen";
    XsmPolicy = 13, Warning, "there is no security module";
    DomainUnmarked = 14, Warning, "node that looks like a domain";

    NoCpu = 101, Error, "the tree describes no usable CPU";
    CpuReg = 102, Error, "CPU without a usable number";
    CpuTwice = 103, Error, "two CPUs with one number";
    EnableMethod = 104, Warning, "no way to start a CPU";
    ReleaseAddress = 105, Warning, "spin-table CPU without a release address";
    CpuPsci = 106, Warning, "CPU started by PSCI, but there is no PSCI";
    TooManyCpus = 107, Warning, "too many CPUs";
    CpuFailed = 108, Note, "CPU marked as failed";
    NoRam = 110, Error, "the tree describes no usable memory";
    RamReg = 111, Error, "memory range cannot be read";
    RamOverlap = 112, Warning, "memory ranges overlap";
    RamTooHigh = 113, Warning, "memory out of reach";
    TooManyBanks = 114, Warning, "too many memory ranges";
    ReservedReg = 115, Error, "reserved range cannot be read";
    TooManyReserved = 116, Error, "too many reserved ranges";
    MemoryType = 117, Warning, "memory node without device_type";
    ReservedCells = 118, Warning, "reserved memory in other cells than the root's";
    NoGic = 120, Error, "no interrupt controller";
    GicReg = 121, Error, "interrupt controller registers cannot be read";
    GicUnsupported = 122, Error, "interrupt controller without virtualization support";
    GicMaintenance = 123, Warning, "maintenance interrupt assumed";
    GicStride = 124, Error, "redistributor stride cannot be used";
    GicRegions = 125, Error, "number of redistributor regions cannot be used";
    NoTimer = 130, Error, "no architected timer";
    TimerInterrupt = 131, Error, "timer interrupt cannot be read";
    TimerNotPrivate = 132, Error, "timer interrupt is not a PPI";
    TimerFrequency = 133, Warning, "timer frequency ignored";
    UartNotFound = 140, Warning, "console UART not found";
    UartUnknown = 141, Warning, "console UART of an unknown kind";
    UartReg = 142, Warning, "console UART registers cannot be read";
    UartInterrupt = 143, Warning, "console UART without a usable interrupt";
    UartLayout = 144, Warning, "console UART with an unsupported register layout";
    UartDisabled = 145, Warning, "console UART is disabled";
    NoUart = 146, Warning, "no console UART";
    UartPathText = 147, Warning, "stdout-path is not text";
    PsciMethod = 150, Warning, "PSCI without a usable method";
    PsciOld = 151, Warning, "PSCI is too old";

    ChannelMissing = 201, Error, "channel without ports";
    ChannelLength = 202, Error, "channel is not whole tuples";
    HalfLength = 203, Error, "channel end is not a port and a peer";
    HalfExtra = 204, Warning, "channel end with extra cells";
    PhandleUnknown = 205, Error, "phandle names no node";
    NotADomain = 206, Error, "phandle does not name a domain";
    NotAnEnd = 207, Error, "phandle does not name a channel end";
    OneSided = 208, Error, "channel described from one side only";
    OwnPeer = 209, Error, "channel end is its own peer";
    HalfInChosen = 210, Error, "channel end outside a domain";
    TupleInDomain = 211, Error, "channel inside a domain";
    OldHalf = 212, Note, "channel end under its documented name";
    PortZero = 213, Error, "port 0 cannot be used";
    PortTaken = 214, Error, "channel port already taken";
    PortTooHigh = 215, Error, "channel port out of range";
    SamePort = 216, Error, "both ends of a channel are one port";
    PeerBroken = 217, Warning, "channel left unbound";
    TooManyChannels = 218, Error, "too many channels";
    LabelCount = 219, Error, "not one string for each channel";
    NameInvalid = 220, Error, "channel name cannot be used";
    NameTooLong = 221, Error, "channel name is too long";
    NameTaken = 222, Error, "channel name already taken";
    NameUnseen = 223, Note, "channel name that a guest cannot see";
    DirectionUnknown = 224, Error, "unknown direction of a channel";
    DirectionConflict = 225, Error, "ends of a channel disagree about its direction";
    TupleNamedHalf = 227, Error, "channel under the name of a channel end";
    PortBeyondXen = 228, Note, "port that Xen does not give";
    ChannelUnseen = 229, Note, "channels that Linux would not find";
    ChannelUnmarked = 230, Warning, "node that looks like a channel";

    MemoryMissing = 301, Error, "domain without memory size";
    MemoryCells = 302, Error, "memory size is not two cells";
    MemoryExtra = 303, Warning, "memory size with extra cells";
    MemoryTooSmall = 304, Error, "domain with too little memory";
    MemoryUnaligned = 305, Error, "memory size is not whole pages";
    MemoryTooLarge = 306, Error, "memory size beyond the guest's memory map";
    MemoryExhausted = 307, Error, "domain does not fit into memory";
    CpusMissing = 308, Error, "domain without a number of vCPUs";
    CpusRange = 309, Error, "number of vCPUs out of range";
    ValueMalformed = 310, Error, "property value cannot be read";
    FlagWithValue = 311, Warning, "boolean property with a value";
    SpisRange = 312, Error, "number of SPIs out of range";
    SpisNone = 313, Error, "no SPI left for the vPL011";
    EnhancedDegraded = 314, Warning, "there is no xenstore";
    EnhancedUnknown = 315, Warning, "unknown value of xen,enhanced";
    StaticMemory = 316, Error, "static memory is not built yet";
    DirectMap = 317, Error, "direct mapping is not built yet";
    Sve = 318, Error, "SVE is not built yet";
    Passthrough = 319, Error, "device assignment is not built yet";
    SharedMemory = 320, Error, "static shared memory is not built yet";
    LlcColors = 321, Error, "cache colouring is not built yet";
    Capabilities = 322, Error, "domain capabilities are not built";
    UnmappedAccesses = 323, Error, "untrapped accesses are not built yet";
    Sci = 324, Error, "SCMI for domains is not built yet";
    V8r = 325, Error, "Armv8-R is not supported";
    CpuPoolIgnored = 326, Warning, "CPU pool ignored";
    UnknownProperty = 327, Warning, "unknown property";
    UnknownChild = 328, Warning, "node inside a domain not understood";
    StatusIgnored = 329, Warning, "status of a domain is ignored";
    NameTwice = 330, Warning, "two domains with one name";
    ValueUnknown = 331, Warning, "unknown value";
    PropertyMisplaced = 332, Warning, "property in the wrong node";
    CellsMalformed = 333, Warning, "cell size cannot be read";
    ValueExtra = 334, Warning, "number with extra cells";
    P2mMemory = 335, Note, "memory for page tables is not set aside";
    GrantVersion = 336, Warning, "grant tables have version 1 only";
    GrantFrames = 337, Note, "number of grant-table frames is fixed";
    MaptrackFrames = 338, Note, "grants are not mapped";
    ActionUnknown = 340, Error, "unknown action at the end of a domain";
    ActionFirmware = 341, Warning, "no firmware for an action";
    RestartLimit = 342, Error, "restart limit cannot be read";
    RestartNever = 343, Warning, "restart property without a restart";

    KernelMissing = 401, Error, "domain without a kernel";
    KernelTwice = 402, Error, "domain with two kernels";
    RamdiskTwice = 403, Error, "domain with two ramdisks";
    ModuleReg = 404, Error, "module without an address";
    ModuleRegLength = 405, Error, "module address cannot be read";
    ModuleRegExtra = 406, Warning, "module with more than one range";
    ModuleCells = 407, Error, "module address in unsupported cells";
    ModuleEmpty = 408, Error, "module is empty";
    ModuleWraps = 409, Error, "module wraps around";
    ModuleOutsideRam = 410, Error, "module outside memory";
    ModuleReserved = 411, Error, "module in reserved memory";
    ModuleOverlap = 412, Error, "modules overlap";
    TooManyModules = 413, Error, "too many modules";
    ModuleKind = 414, Error, "module of no known kind";
    ModuleMark = 415, Warning, "module without its mark";
    DeviceTreeModule = 416, Error, "partial device trees are not built yet";
    BootargsText = 417, Error, "command line is not text";
    BootargsLength = 418, Error, "command line is too long";
    BootargsElsewhere = 419, Warning, "command line not on the kernel";
    ImagesTooLarge = 420, Error, "images larger than the domain";
    RawElsewhere = 421, Warning, "portunus,raw not on a kernel";
    OldModuleName = 422, Warning, "module under an old name";
    KernelNoImage = 423, Error, "kernel is no arm64 Image";
    KernelHeader = 424, Error, "kernel header cannot be used";
    KernelCompression = 425, Error, "kernel in an unsupported compression";
    KernelUnpack = 426, Error, "compressed kernel cannot be unpacked";
    KernelTooLarge = 427, Error, "kernel claims more than the domain";
    RamdiskNoRoom = 428, Error, "no room for ramdisk and device tree";
    BootargsUnderXen = 430, Note, "command line that Xen would lose";
    ModuleTooDeep = 431, Warning, "module in the wrong place";
    UefiBinary = 432, Error, "module for a UEFI loader";
    ModuleUnitAddress = 433, Warning, "module name and address differ";
    ModuleKinds = 434, Error, "module of several kinds";

    NoCpuOnline = 501, Error, "no CPU to run on";
    VcpuId = 502, Error, "xen,vcpu without a number";
    VcpuRange = 503, Error, "xen,vcpu for a vCPU that does not exist";
    VcpuTwice = 504, Error, "vCPU described twice";
    AffinityText = 505, Error, "CPU list cannot be read";
    AffinityOffline = 506, Error, "no CPU of the list is online";
    CpusFull = 507, Error, "no room for the domain's vCPUs";
    CpusShared = 508, Note, "vCPUs of one domain share a CPU";
    AffinityRange = 509, Error, "CPU list names a CPU that does not exist";
    MixedCpus = 510, Warning, "domain on CPUs of different kinds";

    OptionUnknown = 601, Warning, "unknown option";
    OptionValue = 602, Warning, "option value cannot be used";
    BootargsIgnored = 603, Note, "/chosen/bootargs is not read";
    OptionsText = 604, Warning, "command line of the hypervisor is not text";
    OptionProtection = 605, Warning, "option asks for protection that is not built";
    OptionMaxCpus = 606, Warning, "all CPUs are used";
}

impl Code {
    /// The number in `P0214`.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{:04}", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_have_distinct_titles() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].number() < pair[1].number()));
        let mut titles: Vec<_> = Code::ALL.iter().map(|code| code.title()).collect();
        titles.sort_unstable();
        assert!(titles.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(Code::PortTaken.to_string(), "P0214");
    }
}
