# In the shape of ImageBuilder's scripts: two domains, then a channel by phandles.
tftpb 0x40400000 portunus
tftpb 0x40600000 Image
tftpb 0x42600000 initrd
tftpb 0x42800000 board.dtb
fdt addr 0x42800000
fdt resize 1024
fdt set /chosen \#address-cells <0x2>
fdt set /chosen \#size-cells <0x2>
fdt set /chosen xen,xen-bootargs "console=dtuart dtuart=serial0 bootscrub=0 vwfi=native sched=null"
fdt mknod /chosen domU0
fdt set /chosen/domU0 compatible "xen,domain"
fdt set /chosen/domU0 \#address-cells <0x2>
fdt set /chosen/domU0 \#size-cells <0x2>
fdt set /chosen/domU0 memory <0 262144>
fdt set /chosen/domU0 cpus <1>
fdt set /chosen/domU0 vpl011 <0x1>
fdt set /chosen/domU0 xen,enhanced "no-xenstore"
fdt set /chosen/domU0 phandle <0xfffffffe>
fdt mknod /chosen/domU0 module0x40600000
fdt set /chosen/domU0/module0x40600000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU0/module0x40600000 reg <0x0 0x40600000 0x0 0x1f00200>
fdt set /chosen/domU0/module0x40600000 bootargs "console=ttyAMA0"
fdt mknod /chosen/domU0 module0x42600000
fdt set /chosen/domU0/module0x42600000 compatible "multiboot,ramdisk" "multiboot,module"
fdt set /chosen/domU0/module0x42600000 reg <0x0 0x42600000 0x0 0x120000>
fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
fdt set /chosen/domU1 \#address-cells <0x2>
fdt set /chosen/domU1 \#size-cells <0x2>
fdt set /chosen/domU1 memory <0 0x20000>
fdt set /chosen/domU1 cpus <2>
fdt set /chosen/domU1 xen,enhanced "no-xenstore"
fdt set /chosen/domU1 phandle <0xfffffffd>
fdt mknod /chosen/domU1 module0x40600000
fdt set /chosen/domU1/module0x40600000 compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU1/module0x40600000 reg <0x0 0x40600000 0x0 0x1f00200>
fdt mknod /chosen link
fdt set /chosen/link compatible "xen,evtchn"
fdt set /chosen/link xen,evtchn <10 0xfffffffe 11 0xfffffffd>
setenv fdt_high 0xffffffffffffffff
booti 0x40400000 - 0x42800000
