using Hypervisor.Engine.Boot;

namespace Hypervisor.Shell;

/// <summary>
/// The small root file system of quickstart and of the boot benchmark: busybox, the kernel's virtio modules, and an init that brings the
/// network up and gives a shell on the serial console.
/// </summary>
internal static class QuickstartInitramfs
{
    /// <summary>Written to the console by init as its first act.</summary>
    public const string InitMarker = "hypervisor-init: started";

    /// <summary>Written when the shell is about to start.</summary>
    public const string ReadyMarker = "hypervisor-init: ready";

    private const uint Executable = 0x1ED;

    // In the order in which they depend on each other: there is no depmod in the package, so modprobe could not find out.
    private static readonly string[] Modules =
    [
        "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci_legacy_dev",
        "drivers/virtio/virtio_pci", "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/block/virtio_blk",
        "drivers/char/hw_random/rng-core", "drivers/char/hw_random/virtio-rng", "drivers/char/virtio_console", "drivers/virtio/virtio_balloon",
        "drivers/input/evdev", "drivers/acpi/button",
    ];

    // Packages of a merged-/usr release have everything below usr.
    private static readonly string[] BusyboxPaths = ["bin/busybox", "usr/bin/busybox"];
    private static readonly string[] ModuleTrees = ["lib/modules", "usr/lib/modules"];

    private const string Init = """
        #!/bin/busybox sh
        /bin/busybox echo "@INIT@"
        /bin/busybox mkdir -p /proc /sys /dev /tmp /run
        /bin/busybox mount -t proc proc /proc
        /bin/busybox mount -t sysfs sys /sys
        /bin/busybox mount -t devtmpfs dev /dev
        /bin/busybox --install -s /bin
        export PATH=/bin HOME=/root TERM=linux
        if grep -q hv.benchmark /proc/cmdline; then
            echo "@READY@"
            poweroff -f
        fi
        for module in /lib/modules/*.ko; do
            [ -e "$module" ] && insmod "$module"
        done
        hostname quickstart
        ip link set lo up
        if [ -e /sys/class/net/eth0 ]; then
            ip link set eth0 up
            udhcpc -i eth0 -q -n -t 4 -T 1 -s /etc/udhcpc.script >/dev/null 2>&1 &
        fi
        # The ACPI power button is the only input device: its first event is a press. Opened here, so that none is lost from now on.
        if [ -e /dev/input/event0 ]; then
            exec 3</dev/input/event0
            (head -c 24 <&3 >/dev/null; poweroff -f) &
            exec 3<&-
        fi
        # What the kernel says from now on goes to dmesg and not between the words of who types.
        dmesg -n 4
        echo "@READY@"
        while true; do
            setsid cttyhack sh -l
        done
        """;

    private const string DhcpScript = """
        #!/bin/sh
        [ "$1" = bound ] || [ "$1" = renew ] || exit 0
        ip addr replace "$ip/$mask" dev "$interface"
        [ -n "$router" ] && ip route replace default via "$router"
        : > /etc/resolv.conf
        for server in $dns; do echo "nameserver $server" >> /etc/resolv.conf; done
        """;

    private const string Profile = """
        PS1='\h:\w\$ '
        [ -n "$LINES" ] && stty rows "$LINES" cols "$COLUMNS"
        unset LINES COLUMNS
        echo
        echo 'busybox on the stock Debian kernel. Power off with "poweroff -f"; leave the console with Ctrl-].'
        echo 'A serial line carries no size; after resizing the window: stty rows ROWS cols COLUMNS'
        """;

    /// <summary>Builds the archive from unpacked packages.</summary>
    /// <param name="busyboxPackage">Folder of the unpacked package busybox-static.</param>
    /// <param name="kernelPackage">Folder of the unpacked kernel package.</param>
    /// <exception cref="QuickstartException">The package holds no busybox.</exception>
    public static byte[] Build(string busyboxPackage, string kernelPackage)
    {
        string busybox = FindBusybox(busyboxPackage);
        var archive = new CpioArchive();
        foreach (string folder in (ReadOnlySpan<string>)["bin", "dev", "etc", "lib", "lib/modules", "root"])
        {
            archive.AddDirectory(folder);
        }

        archive.AddCharacterDevice("dev/console", 5, 1);
        archive.AddFile("bin/busybox", File.ReadAllBytes(busybox), Executable);
        archive.AddSymbolicLink("bin/sh", "busybox");
        archive.AddText("init", Init.Replace("@INIT@", InitMarker, StringComparison.Ordinal).Replace("@READY@", ReadyMarker, StringComparison.Ordinal) + "\n", Executable);
        archive.AddText("etc/udhcpc.script", DhcpScript + "\n", Executable);
        archive.AddText("etc/profile", Profile + "\n");
        archive.AddText("etc/passwd", "root::0:0:root:/root:/bin/sh\n");
        AddModules(archive, kernelPackage);
        return archive.ToArray();
    }

    /// <summary>The program in an unpacked package busybox-static.</summary>
    /// <exception cref="QuickstartException">There is none.</exception>
    public static string FindBusybox(string busyboxPackage) =>
        BusyboxPaths.Select(path => Path.Combine(busyboxPackage, path)).FirstOrDefault(File.Exists)
            ?? throw new QuickstartException($"There is no busybox in {busyboxPackage}.");

    /// <summary>The kernel image in an unpacked kernel package.</summary>
    /// <exception cref="QuickstartException">There is none.</exception>
    public static string FindKernel(string kernelPackage) =>
        Directory.Exists(Path.Combine(kernelPackage, "boot"))
            && Directory.EnumerateFiles(Path.Combine(kernelPackage, "boot"), "vmlinuz-*").FirstOrDefault() is { } kernel
            ? kernel
            : throw new QuickstartException($"There is no boot/vmlinuz-* in {kernelPackage}.");

    private static void AddModules(CpioArchive archive, string kernelPackage)
    {
        string? tree = ModuleTrees.Select(path => Path.Combine(kernelPackage, path))
            .Where(Directory.Exists).SelectMany(Directory.EnumerateDirectories).FirstOrDefault();
        if (tree is null)
        {
            return;
        }

        int order = 0;
        foreach (string module in Modules)
        {
            // Modules that a kernel has built in, or does not have, are simply not there.
            string file = Path.Combine(tree, "kernel", module + ".ko");
            if (File.Exists(file))
            {
                archive.AddFile($"lib/modules/{order++:d2}-{Path.GetFileName(file)}", File.ReadAllBytes(file));
            }
        }
    }
}
