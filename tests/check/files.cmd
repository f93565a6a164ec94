# The files are at hand: their sizes are known, so that mistakes in them can be found.
load mmc 0:1 0x44000000 portunus
load mmc 0:1 0x45000000 boot/kernel
setenv kernel_size ${filesize}
load mmc 0:1 0x45000f00 initrd
fdt addr 0x46000000
fdt resize 4000
fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
fdt set /chosen/domU1 memory <0 0x8000>
fdt set /chosen/domU1 cpus <1>
fdt mknod /chosen/domU1 initrd
fdt set /chosen/domU1/initrd compatible "multiboot,ramdisk" "multiboot,module"
fdt set /chosen/domU1/initrd reg <0 0x45000f00 0 0x100>
fdt mknod /chosen/domU1 kernel
fdt set /chosen/domU1/kernel compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU1/kernel reg <0 0x45000000 0 0x${kernel_size}>
booti 0x44000000 - 0x46000000
