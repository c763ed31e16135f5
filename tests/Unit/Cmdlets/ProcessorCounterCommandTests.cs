using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Inventory;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

/// <summary>Get-VMProcessorCounter and Get-VMTranslation.</summary>
public sealed class ProcessorCounterCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public ProcessorCounterCommandTests()
    {
        _shell.Run("New-VM a -NumCpu 2; New-VM off; Start-VM a");
        Machine.Counters = [Counters(0), Counters(1)];
    }

    private FakeMachine Machine => _shell.Temporary.Factory.Machines["a"];

    public void Dispose() => _shell.Dispose();

    [Theory]
    [InlineData("Get-VMProcessorCounter a", 0, 1)]
    [InlineData("Get-VM a | Get-VMProcessorCounter", 0, 1)]
    [InlineData("Get-VMProcessorCounter -VM a -ProcessorIndex 1", 1)]
    [InlineData("Get-VMProcessorCounter a 1,0", 1, 0)]
    public void Counters_come_one_object_a_processor(string line, params int[] indexes)
    {
        Assert.Equal(indexes, _shell.Run(line).Cast<VirtualProcessorCounters>().Select(static counters => counters.Index));
        Assert.True(_shell.Succeeded);
    }

    [Theory]
    [InlineData("Get-VMTranslation a", 0, null)]
    [InlineData("Get-VM a | Get-VMTranslation -ProcessorIndex 1", 1, null)]
    [InlineData("Get-VMTranslation a 0xffffffff81000000 1", 1, 0xFFFF_FFFF_8100_0000ul)]
    [InlineData("Get-VMTranslation a -Address 4096", 0, 4096ul)]
    [InlineData("Get-VMTranslation a -Address '-2130706432'", 0, 0xFFFF_FFFF_8100_0000ul)]
    public void Addresses_are_read_in_hexadecimal_and_in_decimal(string line, int processor, ulong? address)
    {
        Assert.IsType<GuestTranslationLine>(Assert.Single(_shell.Run(line)));
        Assert.Equal([(processor, address)], Machine.Described);
    }

    [Theory]
    [InlineData("Get-VMProcessorCounter off", "'off' is powered off")]
    [InlineData("Get-VMTranslation off", "'off' is powered off")]
    [InlineData("Get-VMProcessorCounter a 2", "no virtual processor 2")]
    [InlineData("Get-VMTranslation a -ProcessorIndex 2", "no virtual processor 2. It has 2: 0 to 1")]
    [InlineData("Get-VMTranslation a 0x1_0", "'0x1_0' is no address")]
    public void What_cannot_be_is_an_error_that_says_why(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.Contains(reason, Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Get-VMProcessorCounter a")]
    [InlineData("Get-VMTranslation a")]
    public void Hardware_has_neither_and_the_error_names_the_backend_that_has(string line)
    {
        Machine.Counters = [];
        Assert.Empty(_shell.Run(line));
        Assert.Contains("on the backend Software", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    private static VirtualProcessorCounters Counters(int index) => new()
    {
        VMName = "a",
        Index = index,
        Backend = BackendKind.Software,
        DecodedBlocks = 1,
        TranslatedBlocks = 1,
        CopiedInstructions = 1,
        LeftInstructions = 1,
        TranslationTime = TimeSpan.Zero,
        InterpretedTime = TimeSpan.Zero,
        TranslatedTime = TimeSpan.Zero,
        Entries = 1,
        Links = 1,
        Lookups = 1,
        AccessMisses = 1,
        InterpreterExits = 1,
        ExitsByInstruction = [new InstructionExits("Rdtsc", 1)],
        Exceptions = 1,
        Interrupts = 1,
        TranslationFlushes = 1,
        PageInvalidations = 1,
        CacheFlushes = 1,
        CacheEvictions = 1,
        CodeBytes = 1,
        RecordBytes = 1,
        CacheLimit = 1,
    };
}
