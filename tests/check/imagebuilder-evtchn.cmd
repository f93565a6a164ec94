# In the shape of ImageBuilder's scripts with DOMU_STATIC_EVTCHNS: an end in each domain, with phandles from the top down, a
# channel inside a domain, and three domains that start from one kernel. U-Boot puts each new node before its siblings.
load mmc 0:1 0xc00000 portunus
load mmc 0:1 0xe00000 Image
load mmc 0:1 0x2e00000 board.dtb
fdt addr 0x2e00000
fdt resize 4096
fdt set /chosen \#address-cells <0x2>
fdt set /chosen \#size-cells <0x2>
fdt set /chosen xen,xen-bootargs "console=dtuart dtuart=serial0 bootscrub=0 vwfi=native sched=null conswitch=bx"
fdt mknod /chosen domU0
fdt set /chosen/domU0 compatible "xen,domain"
fdt set /chosen/domU0 \#address-cells <0x2>
fdt set /chosen/domU0 \#size-cells <0x2>
fdt set /chosen/domU0 memory <0 131072>
fdt set /chosen/domU0 cpus <2>
fdt set /chosen/domU0 vpl011 <0x1>
fdt set /chosen/domU0 nr_spis <64>
fdt set /chosen/domU0 xen,enhanced "no-xenstore"
fdt mknod /chosen/domU0 module0x48e00000
fdt set /chosen/domU0/module0x48e00000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU0/module0x48e00000 reg <0x0 0x48e00000 0x0 0x1f00200>
fdt set /chosen/domU0/module0x48e00000 bootargs "console=ttyAMA0 earlycon=pl011,0x22000000 rdinit=/bin/sh"
fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
fdt set /chosen/domU1 \#address-cells <0x2>
fdt set /chosen/domU1 \#size-cells <0x2>
fdt set /chosen/domU1 memory <0 0x20000>
fdt set /chosen/domU1 cpus <1>
fdt set /chosen/domU1 vpl011 <0x1>
fdt set /chosen/domU1 xen,enhanced "no-xenstore"
fdt mknod /chosen/domU1 module0x48e00000
fdt set /chosen/domU1/module0x48e00000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU1/module0x48e00000 reg <0x0 0x48e00000 0x0 0x1f00200>
fdt set /chosen/domU1/module0x48e00000 bootargs "console=ttyAMA0"
fdt mknod /chosen domU2
fdt set /chosen/domU2 compatible "xen,domain"
fdt set /chosen/domU2 \#address-cells <0x2>
fdt set /chosen/domU2 \#size-cells <0x2>
fdt set /chosen/domU2 memory <0 0x10000>
fdt set /chosen/domU2 cpus <1>
fdt set /chosen/domU2 vpl011 <0x1>
fdt set /chosen/domU2 xen,enhanced "no-xenstore"
fdt mknod /chosen/domU2 module0x48e00000
fdt set /chosen/domU2/module0x48e00000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU2/module0x48e00000 reg <0x0 0x48e00000 0x0 0x1f00200>
fdt mknod /chosen/domU0 evtchn@1
fdt set /chosen/domU0/evtchn@1 compatible "xen,evtchn-v1"
fdt set /chosen/domU0/evtchn@1 phandle <0xfffffffe>
fdt set /chosen/domU0/evtchn@1 xen,evtchn <0xa 0xfffffffd>
fdt mknod /chosen/domU1 evtchn@1
fdt set /chosen/domU1/evtchn@1 compatible "xen,evtchn-v1"
fdt set /chosen/domU1/evtchn@1 phandle <0xfffffffd>
fdt set /chosen/domU1/evtchn@1 xen,evtchn <0xb 0xfffffffe>
fdt mknod /chosen/domU0 evtchn@2
fdt set /chosen/domU0/evtchn@2 compatible "xen,evtchn-v1"
fdt set /chosen/domU0/evtchn@2 phandle <0xfffffffc>
fdt set /chosen/domU0/evtchn@2 xen,evtchn <0xc 0xfffffffb>
fdt mknod /chosen/domU2 evtchn@2
fdt set /chosen/domU2/evtchn@2 compatible "xen,evtchn-v1"
fdt set /chosen/domU2/evtchn@2 phandle <0xfffffffb>
fdt set /chosen/domU2/evtchn@2 xen,evtchn <0xd 0xfffffffc>
fdt mknod /chosen/domU2 evtchn@3
fdt set /chosen/domU2/evtchn@3 compatible "xen,evtchn-v1"
fdt set /chosen/domU2/evtchn@3 phandle <0xfffffffa>
fdt set /chosen/domU2/evtchn@3 xen,evtchn <1 0xfffffff9>
fdt mknod /chosen/domU2 evtchn@4
fdt set /chosen/domU2/evtchn@4 compatible "xen,evtchn-v1"
fdt set /chosen/domU2/evtchn@4 phandle <0xfffffff9>
fdt set /chosen/domU2/evtchn@4 xen,evtchn <2 0xfffffffa>
setenv fdt_high 0xffffffffffffffff
booti 0xc00000 - 0x2e00000
