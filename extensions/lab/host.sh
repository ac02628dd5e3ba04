#!/bin/sh
# host.sh TOKEN NAME DISK COMMAND...: turn fresh mount and UTS namespaces into a host, then run COMMAND in them.
# The host gets its own name, /run, and private versions of /etc and /var/lib, which live in DISK (a directory of the
# controller's private /run) and so outlive a reboot of the host, but not the lab. The controller itself gives no DISK.
# Nothing outside the namespaces is written. /run/.microseg-lab marks every process that sees it as part of this lab.
set -eu
token=$1 name=$2 disk=$3
shift 3
PATH=$PATH:/usr/sbin:/sbin
hostname "$name"
ip link set lo up
here=$(pwd -P)
if [ -n "$disk" ]; then
    mkdir -p "$disk"
    cd "$disk"
fi
mount -t tmpfs -o mode=755,size=512m microseg-lab /run
mkdir -p /run/sshd /run/lock /run/user /run/.disk
if [ -n "$disk" ]; then
    mount --no-canonicalize --bind . /run/.disk # reached through the working directory: the new /run hides its path
fi
cd "$here"
# A user namespace that maps one user owns nothing of the machine's files: there, and where there is no overlay file
# system, the host gets a copy of what can be read, and an empty /var/lib.
for place in etc var/lib; do
    up=/run/.disk/$place
    mkdir -p "$up/upper" "$up/work"
    if [ "$(wc -l </proc/self/uid_map)" = 1 ] && ! grep -q 4294967295 /proc/self/uid_map ||
        ! mount -t overlay -o "lowerdir=/$place,upperdir=$up/upper,workdir=$up/work" overlay "/$place" 2>/dev/null; then
        if [ ! -e "$up/copied" ]; then
            [ "$place" = var/lib ] || cp -dR --preserve=mode "/$place/." "$up/upper/" 2>/dev/null || true
            : >"$up/copied"
        fi
        mount --bind "$up/upper" "/$place"
    fi
done
printf '%s\n' "$name" >/etc/hostname
# sshd refuses accounts whose password field starts with "!"; images often have root so
if grep -q '^root:!' /etc/shadow 2>/dev/null; then sed -i 's/^root:!/root:*/' /etc/shadow; fi
[ -s "/run/.disk/machine-id" ] || tr -d - </proc/sys/kernel/random/uuid >/run/.disk/machine-id
cat /run/.disk/machine-id >/etc/machine-id
printf '%s %s\n' "$token" "$name" >/run/.microseg-lab
exec "$@"
