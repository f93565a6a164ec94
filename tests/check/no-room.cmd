# Without `fdt resize`, the tree has no room for more than a few bytes.
fdt addr 0x44000000
fdt set /chosen \#address-cells <2>
fdt mknod /chosen domU1
fdt set /chosen/domU1 compatible "xen,domain"
