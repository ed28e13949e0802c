# What containers may do under AppArmor when nothing else is asked for. @NAME@ is replaced when it is loaded.
# Nothing is included, so that it loads on hosts without the distribution's abstractions.

profile @NAME@ flags=(attach_disconnected,mediate_deleted) {
  capability,
  file,
  network,
  umount,

  # Signals come from the runtime and its monitor, and go to the container's own.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
  signal (send, receive) peer=@NAME@,
  ptrace (read, readby, trace, tracedby) peer=@NAME@,
  unix,

  # No file systems of its own, whatever capabilities it has.
  deny mount,
  deny pivot_root,

  # What speaks to the kernel as a whole.
  deny /proc/{acpi,asound,bus,fs,irq,scsi}/** wklx,
  deny /proc/{kcore,keys,kmem,latency_stats,mem,sched_debug,timer_list,timer_stats} rwklx,
  deny /proc/sysrq-trigger rwklx,
  deny /proc/sys/{abi,debug,dev,fs/binfmt_misc,user,vm}/** wklx,
  deny /proc/sys/kernel/{core_pattern,core_pipe_limit,hotplug,kexec_load_disabled,modprobe} wklx,
  deny /proc/sys/kernel/{modules_disabled,panic,panic_on_oops,poweroff_cmd,sysrq,usermodehelper/**} wklx,

  # The devices' tree; /sys/fs/cgroup stays, for nested containers.
  deny /sys/{block,bus,class,dev,devices,firmware,hypervisor,kernel,module,power}/** wklx,
  deny /sys/fs/{bpf,pstore,selinux,smackfs}/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/kernel/{debug,security,tracing}/** rwklx,
}
