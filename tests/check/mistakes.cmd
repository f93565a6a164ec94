# What people get wrong in scripts.
setenv kernel_addr 0x48000000
fdt set /chosen #address-cells <2>
fdt addr 0x44000000
fdt resize 2000
fdt mknod /chosen domU0
fdt mknod /chosen domU0
fdt set /chosen/domU0 compatible "xen,domain"
fdt set /chosen/domU0 memory <0x10000>
fdt set /chosen/domU0 cpus <0x100000001>
fdt set /chosen/domU0 vpl011 <0>
fdt mknod /chosen/domU0 kernel
fdt set /chosen/domU0/kernel compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU0/kernel reg <0x0 ${kernel_addr} 0x0 0x${filesize}>
fdt set /chosen/domU1/kernel bootargs "console=ttyAMA0"
fdt set /chosen xen,evtchn <0xa &domU0 0xb &domU1>
fdt set /chosen/domU0 nr_spis <32
frobnicate
booti 0x48100000 - 0x45000000
