using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Hypervisor.Engine.Native;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// An x86-64 processor in software. One thread at a time runs it and touches its registers; the members that say so may be called
/// from any thread. A guest cannot make <see cref="Run"/> throw.
/// </summary>
public sealed unsafe partial class X86Processor : IDisposable
{
    private const int MaximumInvalidatedPages = 256;

    private readonly IMemoryBus _memory;
    private readonly IPortBus _ports;
    private readonly TimestampCounter _timestamp;
    private readonly Lock _busLock;
    private readonly Lock _codeLock;
    private readonly ConcurrentQueue<ulong> _invalidatedPages = new();
    private readonly ProcessorMemory _native = new();
    private readonly int _cacheLimit;
    private int _startupVector;

    /// <summary>Makes a processor in its power-on state (see <see cref="Reset"/>).</summary>
    public X86Processor(ProcessorOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        Index = options.Index;
        ProcessorCount = options.ProcessorCount;
        _coresPerSocket = options.CoresPerSocket is > 0 and int cores && cores <= ProcessorCount ? cores : ProcessorCount;
        _level = new FeatureLevelMask(options.FeatureLevel);
        PhysicalAddressBits = options.PhysicalAddressBits;
        _memory = options.Memory;
        _ports = options.Ports;
        _timestamp = options.Timestamp;
        _busLock = options.BusLock;
        _codeLock = options.CodeLock;
        _physicalMask = (1ul << options.PhysicalAddressBits) - 1;

        State = _native.State;
        _tlb = _native.TranslationBuffers;
        _targets = [.. Enumerable.Range(0, TargetTable.Tables).Select(table => new TargetTable(_native.TargetTables + (table * TargetTable.TableBytes)))];
        nuint tableBytes = (nuint)((JumpEntries * sizeof(JumpEntry)) + (FetchEntries * sizeof(FetchEntry)) + (2 * sizeof(DecodedInstruction)));
        _tables = AnonymousMemory.Allocate((tableBytes + 4095) & ~(nuint)4095);
        _jumps = (JumpEntry*)_tables.Address;
        _fetches = (FetchEntry*)(_jumps + JumpEntries);
        _fetchMarker = (DecodedInstruction*)(_fetches + FetchEntries);
        _kept = _fetchMarker + 1;
        _cacheLimit = options.CodeCacheBytes;
        int codeBytes = options.CodeCacheBytes / 4, regions = BlockTranslator.Regions(codeBytes);
        _blocks = new BlockCache(codeBytes * 3, regions);
        _translationThreshold = Math.Max(1, options.TranslationThreshold);
        _translator = options.Translate && TranslationSupport.IsAvailable ? new BlockTranslator(_native, codeBytes, regions) : null;
        for (int set = 0; set < TranslationBuffer.Sets; set++)
        {
            TranslationBuffer.Clear(SetOf(set));
        }

        Reset();
    }

    /// <summary>Index in the machine and local APIC id.</summary>
    public int Index { get; }

    /// <summary>Processors of the machine.</summary>
    public int ProcessorCount { get; }

    /// <summary>Width of physical addresses.</summary>
    public int PhysicalAddressBits { get; }

    /// <summary>The local APIC; must be set before <see cref="Run"/>.</summary>
    public ILocalApic? LocalApic { get; set; }

    /// <summary>
    /// Called, on the thread of the cause, after anything arrived that a halted processor must wake up for. Must be quick.
    /// </summary>
    public Action? WorkArrived { get; set; }

    /// <summary>The processor executed HLT, or waits for a start-up IPI, and nothing came since.</summary>
    public bool IsHalted => _activity != Activity.Running && !HasWork;

    /// <summary>Something has arrived that <see cref="Run"/> would act upon, a stop request included. Any thread.</summary>
    public bool HasWork
    {
        get
        {
            // An NMI that waits for the end of another wakes nobody, or a handler that halts would keep the host's thread awake.
            Attention waking = Attention.Stop | Attention.Interrupt | Attention.Init | Attention.Startup | (_nmiBlocked ? 0 : Attention.Nmi);
            return (Volatile.Read(ref State->Attention) & (int)waking) != 0;
        }
    }

    /// <summary>Instructions retired since power-on; approximate while running.</summary>
    public ulong RetiredInstructions => State->Retired;

    internal CpuState* State { get; private set; }

    /// <summary>Runs guest code until there is a reason to stop. Allocates nothing.</summary>
    public StopReason Run() => RunLoop();

    /// <summary>Makes <see cref="Run"/> return soon, or the next call return at once; sticky until consumed by one return. Any thread.</summary>
    public void RequestStop() => SignalAttention(Attention.Stop);

    /// <summary>The local APIC's <see cref="ILocalApic.HasInterrupt"/> may have become true. Any thread.</summary>
    public void SignalInterrupt() => SignalAttention(Attention.Interrupt);

    /// <summary>Makes a non-maskable interrupt pending. Any thread.</summary>
    public void InjectNmi() => NoteNmi();

    /// <summary>An INIT IPI: the processor resets and, unless it is the bootstrap processor, waits for a start-up IPI. Any thread.</summary>
    public void Init()
    {
        // A start-up that came before means nothing any more.
        TakeAttention(Attention.Startup);
        SignalAttention(Attention.Init);
    }

    /// <summary>A start-up IPI: starts a waiting processor in real mode at vector × 4096; otherwise ignored. Any thread.</summary>
    public void StartupIpi(byte vector)
    {
        Volatile.Write(ref _startupVector, vector);
        SignalAttention(Attention.Startup);
    }

    /// <summary>Drops cached host addresses of guest-physical pages (the memory map changed). Any thread; takes effect before the next access after the processor was stopped.</summary>
    public void FlushPhysicalMappings() => SignalAttention(Attention.FlushMappings | Attention.FlushBlocks);

    /// <summary>
    /// Drops all decoded and translated code and gives its memory back to the host's system, when the processor runs the next time; what is
    /// run then is decoded and translated anew. Wakes nobody. Any thread.
    /// </summary>
    public void ReleaseCaches() => SignalAttention(Attention.ReleaseBlocks);

    /// <summary>
    /// Drops code decoded from a page. Any thread: at once on the processor's own thread (before its next instruction), otherwise
    /// at its next block.
    /// </summary>
    /// <param name="page">Guest-physical page number.</param>
    public void InvalidateCodePage(ulong page)
    {
        if (Environment.CurrentManagedThreadId == Volatile.Read(ref _runningThread))
        {
            DropCodePage(page);
        }
        else
        {
            if (_invalidatedPages.Count < MaximumInvalidatedPages)
            {
                _invalidatedPages.Enqueue(page);
                SignalAttention(Attention.CodeInvalidation);
                return;
            }

            // A processor that is halted for long does not take its list; another one must not make that grow without end.
            _invalidatedPages.Clear();
            SignalAttention(Attention.FlushBlocks);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_orders)
        {
            State = null;
        }

        _native.Dispose();
        _tables.Dispose();
        _blocks.Dispose();
        _translator?.Dispose();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void SetAttention(Attention bits) => Interlocked.Or(ref State->Attention, (int)bits);

    private void SignalAttention(Attention bits)
    {
        SetAttention(bits);
        WorkArrived?.Invoke();
    }

    private bool TakeAttention(Attention bit) => (Interlocked.And(ref State->Attention, ~(int)bit) & (int)bit) != 0;

    private enum Activity
    {
        Running,
        Halted,
        WaitingForStartup,
        Shutdown,
    }
}
