//! Event channel operations that have no effect: what they answer.

use portunus_guests::verdict::{both, split};

use crate::table::*;

/// A port that is free, one beyond those that Xen has made room for, and one that cannot be.
const FREE: u32 = 40;
const FAR: u32 = 2000;
const IMPOSSIBLE: u32 = 4096;

pub const ROWS: [Row; 58] = [
    // remote_dom@0(2) remote_port@4(4) -> local_port@8(4)
    row("of nobody", 0, &[NOBODY, 1, 0], both(ESRCH)),
    row("to a free port", 0, &[OWN, FREE, 0], both(EINVAL)),
    row("to port 0", 0, &[OWN, 0, 0], both(EINVAL)),
    row("to no port", 0, &[OWN, IMPOSSIBLE, 0], both(EINVAL)),
    row("to another's free port", 0, &[OTHER, 1, 0], both(EINVAL)),
    row("to another's static port", 0, &[OTHER, 11, 0], both(EINVAL)),
    // virq@0(4) vcpu@4(4) -> port@8(4)
    row("virq 24", 1, &[24, 0, 0], both(EINVAL)),
    row("virq 1000", 1, &[1000, 0, 0], both(EINVAL)),
    row("Argo's, not on vCPU 0", 1, &[11, 1, 0], both(EINVAL)),
    row("global, not on vCPU 0", 1, &[2, 1, 0], both(EINVAL)),
    row("timer, no such vCPU", 1, &[0, 99, 0], both(ENOENT)),
    // pirq@0(4) flags@4(4) -> port@8(4)
    row("pirq", 2, &[1, 0, 0], split(EOPNOTSUPP, ENOMEM)),
    // port@0(4)
    row("port 0", 3, &[0], both(EINVAL)),
    row("a free port", 3, &[FREE], both(EINVAL)),
    row("a far port", 3, &[FAR], both(EINVAL)),
    row("no port", 3, &[IMPOSSIBLE], both(EINVAL)),
    row("port 0", 4, &[0], both(EINVAL)),
    row("a free port", 4, &[FREE], both(EINVAL)),
    row("a far port", 4, &[FAR], both(EINVAL)),
    row("no port", 4, &[IMPOSSIBLE], both(EINVAL)),
    row("the last number", 4, &[u32::MAX], both(EINVAL)),
    // dom@0(2) port@4(4) -> status@8(4) vcpu@12(4) u@16(8)
    row("of nobody", 5, &[NOBODY, 1, 0, 0, 0, 0], both(ESRCH)),
    row("of another", 5, &[OTHER, 1, 0, 0, 0, 0], both(EPERM)),
    row("of another, no port", 5, &[OTHER, IMPOSSIBLE, 0, 0, 0, 0], both(EINVAL)),
    row("of port 0", 5, &[OWN, 0, 0, 0, 0, 0], both(0)),
    row("of a free port", 5, &[OWN, FREE, 0, 0, 0, 0], both(0)),
    row("of a far port", 5, &[OWN, FAR, 0, 0, 0, 0], split(0, EINVAL)),
    row("of no port", 5, &[OWN, IMPOSSIBLE, 0, 0, 0, 0], both(EINVAL)),
    // dom@0(2) remote_dom@2(2) -> port@4(4)
    row("of nobody", 6, &[NOBODY | OWN << 16, 0], both(ESRCH)),
    row("for nobody", 6, &[OWN | NOBODY << 16, 0], both(ESRCH)),
    row("for another", 6, &[OWN | OTHER << 16, 0], both(EPERM)),
    row("of another", 6, &[OTHER | OWN << 16, 0], both(EPERM)),
    row("of another, for nobody", 6, &[OTHER | NOBODY << 16, 0], both(ESRCH)),
    row("of another, for itself", 6, &[OTHER | OTHER << 16, 0], both(EPERM)),
    // vcpu@0(4) -> port@4(4)
    row("to no vCPU", 7, &[1, 0], both(ENOENT)),
    row("to the last number", 7, &[u32::MAX, 0], both(ENOENT)),
    // port@0(4) vcpu@4(4)
    row("no port to no vCPU", 8, &[IMPOSSIBLE, 99], both(ENOENT)),
    row("no port", 8, &[IMPOSSIBLE, 0], both(EINVAL)),
    row("a free port", 8, &[FREE, 0], both(EINVAL)),
    row("port 0", 8, &[0, 0], both(EINVAL)),
    row("port 0", 9, &[0], both(0)),
    row("a free port", 9, &[FREE], both(0)),
    row("a far port", 9, &[FAR], split(0, EINVAL)),
    row("no port", 9, &[IMPOSSIBLE], both(EINVAL)),
    // dom@0(2)
    row("of nobody", 10, &[NOBODY], both(ESRCH)),
    row("of another", 10, &[OTHER], both(EPERM)),
    // control_gfn@0(8) offset@8(4) vcpu@12(4)
    row("nowhere", 11, &[0x3_9000, 0, 0, 0, 0, 0], split(EOPNOTSUPP, EINVAL)),
    row("no such vCPU", 11, &[0x3_9000, 0, 0, 9, 0, 0], split(EOPNOTSUPP, ENOENT)),
    row("array_gfn", 12, &[0x3_9000, 0], both(EOPNOTSUPP)),
    // port@0(4) priority@4(4)
    row("of a free port", 13, &[FREE, 0], both(ENOSYS)),
    row("of a far port", 13, &[FAR, 0], split(ENOSYS, EINVAL)),
    row("of no port", 13, &[IMPOSSIBLE, 0], both(EINVAL)),
    row("of nobody", 14, &[NOBODY], both(ESRCH)),
    row("of another", 14, &[OTHER], both(EPERM)),
    row("of self", 14, &[OWN], both(EBUSY)),
    row("no operation", 15, &[0], both(ENOSYS)),
    row("no operation", 99, &[0], both(ENOSYS)),
    row("no operation", 255, &[0], both(ENOSYS)),
];
