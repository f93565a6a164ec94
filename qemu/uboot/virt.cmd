# A U-Boot script written by hand, in the way that Xen's dom0less scripts are: load everything, describe it under
# /chosen, boot. For QEMU's virt; the card has Image and guests/pingpong.
#
# Two domains of 32 MiB run the same guest, and are joined by two channels. A phandle is any number that the tree does
# not use yet; those that U-Boot and dtc give out begin at 1.
setenv hyp_addr 0x40400000
setenv fdt_work 0x43000000
setenv guest_addr 0x48000000

load ${devtype} ${devnum}:${distro_bootpart} ${hyp_addr} Image
load ${devtype} ${devnum}:${distro_bootpart} ${guest_addr} guests/pingpong
setenv guest_size 0x${filesize}

# QEMU's tree lies at the start of RAM and claims 1 MiB; U-Boot works on a copy with room for more.
fdt addr ${fdt_addr}
fdt move ${fdt_addr} ${fdt_work} 0x110000

fdt set /chosen \#address-cells <0x2>
fdt set /chosen \#size-cells <0x2>
fdt set /chosen xen,xen-bootargs "console=dtuart dtuart=/pl011@9000000 when-done=poweroff"

fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
fdt set /chosen/domU1 \#address-cells <0x2>
fdt set /chosen/domU1 \#size-cells <0x2>
fdt set /chosen/domU1 memory <0x0 0x8000>
fdt set /chosen/domU1 cpus <0x1>
fdt set /chosen/domU1 vpl011 <0x1>
fdt set /chosen/domU1 xen,enhanced "no-xenstore"
fdt mknod /chosen/domU1 module@48000000
fdt set /chosen/domU1/module@48000000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU1/module@48000000 reg <0x0 ${guest_addr} 0x0 ${guest_size}>
fdt set /chosen/domU1/module@48000000 bootargs "role=ping ports=10,12 rounds=1000"
fdt mknod /chosen/domU1 evtchn@a
fdt set /chosen/domU1/evtchn@a compatible "xen,evtchn-v1"
fdt set /chosen/domU1/evtchn@a phandle <0xfffffff0>
fdt set /chosen/domU1/evtchn@a xen,evtchn <0xa 0xfffffff1>
fdt mknod /chosen/domU1 evtchn@c
fdt set /chosen/domU1/evtchn@c compatible "xen,evtchn-v1"
fdt set /chosen/domU1/evtchn@c phandle <0xfffffff2>
fdt set /chosen/domU1/evtchn@c xen,evtchn <0xc 0xfffffff3>

fdt mknod /chosen domU2
fdt set /chosen/domU2 compatible "xen,domain"
fdt set /chosen/domU2 \#address-cells <0x2>
fdt set /chosen/domU2 \#size-cells <0x2>
fdt set /chosen/domU2 memory <0x0 0x8000>
fdt set /chosen/domU2 cpus <0x1>
fdt set /chosen/domU2 vpl011 <0x1>
fdt set /chosen/domU2 xen,enhanced "no-xenstore"
fdt mknod /chosen/domU2 module@48000000
fdt set /chosen/domU2/module@48000000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU2/module@48000000 reg <0x0 ${guest_addr} 0x0 ${guest_size}>
fdt set /chosen/domU2/module@48000000 bootargs "role=pong ports=11,13 rounds=1000"
fdt mknod /chosen/domU2 evtchn@b
fdt set /chosen/domU2/evtchn@b compatible "xen,evtchn-v1"
fdt set /chosen/domU2/evtchn@b phandle <0xfffffff1>
fdt set /chosen/domU2/evtchn@b xen,evtchn <0xb 0xfffffff0>
fdt mknod /chosen/domU2 evtchn@d
fdt set /chosen/domU2/evtchn@d compatible "xen,evtchn-v1"
fdt set /chosen/domU2/evtchn@d phandle <0xfffffff3>
fdt set /chosen/domU2/evtchn@d xen,evtchn <0xd 0xfffffff2>

booti ${hyp_addr} - ${fdt_work}
