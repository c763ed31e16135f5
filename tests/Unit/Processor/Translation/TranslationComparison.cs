namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Runs the same guest in the interpreter and translated, and compares everything at the end.</summary>
internal static class TranslationComparison
{
    private static readonly int[] Thresholds = [0, 1, 3];

    /// <param name="scenario">Prepares and runs the machine.</param>
    /// <param name="check">What is to be true of each.</param>
    /// <param name="cacheBytes">Room for code.</param>
    /// <param name="mode">What the machines run.</param>
    /// <param name="user">At CPL 3.</param>
    public static void Run(
        Action<TranslationMachine> scenario,
        Action<TranslationMachine>? check = null,
        int cacheBytes = 4 << 20,
        GuestMode mode = GuestMode.Long,
        bool user = false)
    {
        string? expected = null;
        byte[] memory = [];
        foreach (int threshold in Thresholds)
        {
            using var machine = new TranslationMachine(threshold, cacheBytes, mode, user);
            scenario(machine);
            string actual = machine.Describe();
            if (expected == null)
            {
                expected = actual;
                memory = Contents(machine);
            }
            else
            {
                Assert.Equal(expected, actual);
                int differs = Contents(machine).AsSpan().CommonPrefixLength(memory);
                Assert.True(differs == memory.Length, $"Memory differs at {differs:X}, threshold {threshold}.");
            }

            check?.Invoke(machine);
        }
    }

    // Without the bits that the processor sets in page-table entries: it may do that for an access that then is not made.
    public static byte[] Contents(TranslationMachine machine)
    {
        byte[] memory = machine.Memory.ToArray();
        for (ulong linear = 0; linear < TranslationMachine.MappedBytes; linear += 4096)
        {
            memory[machine.PlaceOfEntry(linear)] &= 0x9F;
        }

        memory[machine.PlaceOfEntry(TranslationMachine.TopPage)] &= 0x9F;
        return memory;
    }
}
