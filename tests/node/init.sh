#!/bin/busybox sh
# From the initramfs to the disk's own init.
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox insmod /virtio_blk.ko
/bin/busybox mount -t ext4 /dev/vda /mnt || /bin/busybox poweroff -f
exec /bin/busybox switch_root /mnt /sbin/init
