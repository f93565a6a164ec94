# The hypervisor's file is small, and takes a MiB when it runs.
load mmc 0:1 0x44000000 hypervisor
load mmc 0:1 0x44080000 kernel
setenv kernel_size ${filesize}
fdt addr 0x46000000
fdt resize 4000
fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
fdt set /chosen/domU1 memory <0 0x8000>
fdt set /chosen/domU1 cpus <1>
fdt mknod /chosen/domU1 kernel
fdt set /chosen/domU1/kernel compatible "multiboot,kernel" "multiboot,module"
fdt set /chosen/domU1/kernel reg <0 0x44080000 0 0x${kernel_size}>
booti 0x44000000 - 0x46000000
