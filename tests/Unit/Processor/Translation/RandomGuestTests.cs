using System.Globalization;
using Hypervisor.Engine.Processor;
using Xunit.Abstractions;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// Random programs, interpreted and translated, end in the same state. HYPERVISOR_FUZZ_CASES sets how many, HYPERVISOR_FUZZ_SEED
/// where they begin.
/// </summary>
public sealed class RandomGuestTests(ITestOutputHelper output)
{
    private const int DefaultCases = 20, Budget = 3000;

    [Fact]
    public void Random_programs_end_in_the_same_state_when_they_are_translated()
    {
        Compare(DefaultCases, GuestMode.Long, user: false, static seed =>
        {
            var guest = new RandomGuest(seed);
            guest.Generate();
            return machine => guest.Run(machine, Budget);
        });
    }

    [Theory]
    [InlineData(GuestMode.Legacy, false)]
    [InlineData(GuestMode.Legacy, true)]
    [InlineData(GuestMode.Pae, false)]
    [InlineData(GuestMode.Pae, true)]
    [InlineData(GuestMode.Compatibility, false)]
    [InlineData(GuestMode.Compatibility, true)]
    public void Random_programs_of_32_bits_end_in_the_same_state_when_they_are_translated(GuestMode mode, bool user)
    {
        Compare(DefaultCases / 2, mode, user, seed =>
        {
            var guest = new RandomGuest32(seed, user);
            return machine => guest.Run(machine, Budget);
        });
    }

    private void Compare(int defaultCases, GuestMode mode, bool user, Func<int, Action<M>> guest)
    {
        int cases = Setting("HYPERVISOR_FUZZ_CASES", defaultCases);
        int seed = Setting("HYPERVISOR_FUZZ_SEED", 1);
        long decoded = 0, translated = 0, entries = 0;
        ulong instructions = 0;
        for (int n = 0; n < cases; n++)
        {
            Action<M> run = guest(seed + n);
            try
            {
                TranslationComparison.Run(
                    run,
                    m =>
                    {
                        var statistics = m.Cpu.GetStatistics();
                        decoded += statistics.DecodedBlocks;
                        translated += statistics.TranslatedBlocks;
                        entries += statistics.Entries;
                        instructions += m.Cpu.RetiredInstructions;
                    },
                    cacheBytes: (1 + (n % 2)) << 20,
                    mode,
                    user);
            }
            catch (Exception difference)
            {
                throw new InvalidOperationException($"Seed {seed + n}: {difference.Message}", difference);
            }
        }

        Assert.True(translated > 0 || !TranslationSupport.IsAvailable);
        output.WriteLine($"{cases} programs: {decoded} blocks decoded, {translated} translated, {entries} entries, {instructions} instructions");
    }

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : otherwise;
}
