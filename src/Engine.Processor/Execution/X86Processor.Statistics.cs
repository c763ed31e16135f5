using System.Diagnostics;
using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Counters: plain fields of the processor's thread, counted where it is outside translated code anyway.
public sealed unsafe partial class X86Processor
{
    private const int ListedInstructions = 30;

    private readonly long[] _exitsByCode = new long[InstructionTable.CodeCount];
    private long _decodedBlocks, _translatedBlocks, _translationTicks, _entries, _links, _lookups, _accessMisses, _interpreterExits;
    private long _exceptions, _interrupts, _translationFlushes, _pageInvalidations, _cacheFlushes, _cacheEvictions;

    // What code is forgotten in stays in memory, for the code to come: the most since memory was given back.
    private long _mostCacheBytes;

    /// <summary>
    /// Memory of the host that the processor takes, bytes: its tables, and the cache of decoded and translated code as far as it was used
    /// since <see cref="ReleaseCaches"/>. Any thread.
    /// </summary>
    public long HostBytes => ProcessorMemory.Bytes + BlockCache.IndexBytes + MostCacheBytes;

    private long MostCacheBytes => Math.Max(Volatile.Read(ref _mostCacheBytes), _blocks.Used + (_translator?.CodeBytes ?? 0));

    /// <summary>The counters now. Any thread; not a moment's consistent picture while the processor runs.</summary>
    public ProcessorStatistics GetStatistics() => new()
    {
        DecodedBlocks = _decodedBlocks,
        TranslatedBlocks = _translatedBlocks,
        CopiedInstructions = _translator?.Copied ?? 0,
        LeftInstructions = _translator?.Left ?? 0,
        TranslationTime = TimeSpan.FromSeconds((double)_translationTicks / Stopwatch.Frequency),
        InterpretedTime = new TimeSpan(_interpretedTicks),
        TranslatedTime = new TimeSpan(_translatedTicks),
        Entries = _entries,
        Links = _links,
        Lookups = _lookups,
        AccessMisses = _accessMisses,
        InterpreterExits = _interpreterExits,
        ExitsByInstruction = ListExits(),
        Exceptions = _exceptions,
        Interrupts = _interrupts,
        TranslationFlushes = _translationFlushes,
        PageInvalidations = _pageInvalidations,
        CacheFlushes = _cacheFlushes,
        CacheEvictions = _cacheEvictions,
        CodeBytes = _translator?.CodeBytes ?? 0,
        RecordBytes = _blocks.Used,
        CacheLimit = _cacheLimit,
    };

    private List<KeyValuePair<string, long>> ListExits()
    {
        var exits = new List<KeyValuePair<string, long>>();
        for (int code = 0; code < _exitsByCode.Length; code++)
        {
            if (_exitsByCode[code] != 0)
            {
                exits.Add(new(((Code)code).ToString(), _exitsByCode[code]));
            }
        }

        exits.Sort((a, b) => b.Value.CompareTo(a.Value));
        return exits.Count <= ListedInstructions ? exits : exits[..ListedInstructions];
    }
}
