using System.Diagnostics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>
/// Finds out what <c>/dev/kvm</c> is worth by running code at CPL 0 in long mode: a counted loop against the clock, then SSE. There
/// are drivers under that name that run only ring 3 on the processor and emulate ring 0, a thousand times slower and without SSE.
/// </summary>
internal sealed class KvmProbe : IPartitionBus, IMachineClock
{
    private const ulong MemoryBytes = 0x10000, CodeAddress = 0x1000, PageTables = 0x2000, StackTop = 0x8000, ResultAddress = 0x9000;
    private const ushort MarkPort = 0x80;

    /// <summary>Turns of the loop, two instructions each: 10 µs on a processor, 30 ms emulated.</summary>
    private const uint LoopTurns = 20_000;

    /// <summary>The loop runs several times and the best counts, as a busy host may interrupt any one of them.</summary>
    private const byte Rounds = 5;

    /// <summary>Below this many million instructions a second ring 0 is emulated; the slowest real processor does a thousand.</summary>
    private const double NativeMips = 100;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private long _loopStart;
    private TimeSpan _best = TimeSpan.MaxValue;
    private bool _sseDone;

    public long Now => 0;

    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch;

    internal static BackendProbe Run(KvmPartitionFactory factory)
    {
        using (var device = KvmDevice.TryOpen(out string reason))
        {
            if (device is null)
            {
                return new BackendProbe(BackendKind.Kvm, false, false, reason);
            }
        }

        string version = $"API 12, Linux {Environment.OSVersion.Version}";
        try
        {
            var probe = new KvmProbe();
            bool sse = probe.Execute(factory);
            if (probe._best == TimeSpan.MaxValue)
            {
                return new BackendProbe(BackendKind.Kvm, false, false, "/dev/kvm is there but did not run a loop of kernel code to its end.", version);
            }

            double mips = 2 * LoopTurns / Math.Max(probe._best.TotalSeconds, 1e-7) / 1e6;
            return (mips >= NativeMips, sse) switch
            {
                (true, true) => new BackendProbe(BackendKind.Kvm, true, true, "KVM runs kernel code on the processor itself.", version),
                (true, false) => new BackendProbe(BackendKind.Kvm, true, false, "KVM runs kernel code on the processor, but no SSE instructions in it; current systems need them.", version),
                _ => new BackendProbe(BackendKind.Kvm, true, false, $"/dev/kvm only emulates kernel code here (about {mips:0.0} million instructions a second{(sse ? "" : ", no SSE")}): good for firmware and small guests, too slow for a stock kernel. Allow nested virtualization to this host to get the real one.", version),
            };
        }
        catch (PartitionException exception)
        {
            return new BackendProbe(BackendKind.Kvm, false, false, exception.Message, version);
        }
    }

    public uint ReadPort(ushort port, int size) => uint.MaxValue;

    public void WritePort(ushort port, int size, uint value)
    {
        if (port != MarkPort)
        {
            return;
        }

        switch (value & 0xFF)
        {
            case 1:
                _loopStart = Stopwatch.GetTimestamp();
                break;
            case 2:
                var elapsed = Stopwatch.GetElapsedTime(_loopStart);
                _best = elapsed < _best ? elapsed : _best;
                break;
            case 3:
                _sseDone = true;
                break;
        }
    }

    public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

    public void WriteMmio(ulong address, int size, ulong value)
    {
        // Nothing is there.
    }

    public IMachineTimer CreateTimer(Action callback) => throw new NotSupportedException("KVM keeps the time of its own local APICs.");

    private bool Execute(KvmPartitionFactory factory)
    {
        using var memory = new GuestMemory();
        memory.AddBlock(0, MemoryBytes);
        memory.Load(CodeAddress, Code());

        // One page each of levels 4, 3 and 2; the last entry maps 2 MB onto themselves: present, writable, large.
        memory.TryWrite(PageTables, PageTables + 0x1000 + 3);
        memory.TryWrite(PageTables + 0x1000, PageTables + 0x2000 + 3);
        memory.TryWrite(PageTables + 0x2000, 0x83ul);

        using var partition = factory.Create(new PartitionOptions { ProcessorCount = 1, Bus = this, Clock = this });
        foreach (var (guest, host, bytes, _) in memory.Blocks)
        {
            partition.MapMemory(guest, host, bytes, MemoryAccess.All);
        }

        var processor = partition.Processors[0];
        EnterLongMode(processor);
        using var patience = new Timer(state => ((IVirtualProcessor)state!).Kick(), processor, Patience, Timeout.InfiniteTimeSpan);

        // The program ends in an undefined instruction without handlers: a triple fault.
        processor.Run();
        return _sseDone && memory.TryRead(ResultAddress, out ulong sum) && sum == 0x0000_0003_0000_0003;
    }

    private static void EnterLongMode(IVirtualProcessor processor)
    {
        const uint code = 0xA09B, data = 0xC093;
        var system = processor.GetSystemRegisters();
        system.Cs = new SegmentRegister { Selector = 8, Limit = uint.MaxValue, Attributes = code };
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = new SegmentRegister { Selector = 16, Limit = uint.MaxValue, Attributes = data };
        system.Idt = default;
        system.Cr0 = 0x8000_0033;
        system.Cr3 = PageTables;
        system.Cr4 = 0x620;
        system.Efer = 0x500;
        processor.SetSystemRegisters(system);
        processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2, Rsp = StackTop });
    }

    private static byte[] Code() =>
    [
        0xB3, Rounds,                                                       // mov bl, rounds
        0xB0, 0x01, 0xE6, (byte)MarkPort,                                   // again: mov al, 1; out 80h, al
        0xB9, .. BitConverter.GetBytes(LoopTurns),                          // mov ecx, turns
        0xFF, 0xC9, 0x75, 0xFC,                                             // dec ecx; jnz
        0xB0, 0x02, 0xE6, (byte)MarkPort,                                   // mov al, 2; out 80h, al
        0xFE, 0xCB, 0x75, 0xEB,                                             // dec bl; jnz again
        0xB8, 0x01, 0, 0, 0,                                                // mov eax, 1
        0x66, 0x0F, 0x6E, 0xC0,                                             // movd xmm0, eax
        0x66, 0x0F, 0x70, 0xC0, 0x00,                                       // pshufd xmm0, xmm0, 0
        0x66, 0x0F, 0x6F, 0xC8,                                             // movdqa xmm1, xmm0
        0x66, 0x0F, 0xFE, 0xC8,                                             // paddd xmm1, xmm0
        0x66, 0x0F, 0xFE, 0xC8,                                             // paddd xmm1, xmm0
        0xF3, 0x0F, 0x7F, 0x0C, 0x25, .. BitConverter.GetBytes((uint)ResultAddress), // movdqu [result], xmm1
        0xB0, 0x03, 0xE6, (byte)MarkPort,                                   // mov al, 3; out 80h, al
        0x0F, 0x0B,                                                         // ud2
    ];
}
