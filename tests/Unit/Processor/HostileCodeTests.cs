using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Random bytes as code, with random registers, segments, descriptor tables and page tables, in every mode.</summary>
public unsafe class HostileCodeTests
{
    private const int Cases = 3000;

    [Theory]
    [InlineData(16, 1, false)]
    [InlineData(32, 2, false)]
    [InlineData(33, 3, false)]
    [InlineData(34, 4, false)]
    [InlineData(64, 5, false)]
    [InlineData(64, 6, true)]
    [InlineData(64, 7, true)]
    public void Random_code_ends_in_guest_exceptions_and_touches_nothing_but_its_memory(int mode, int seed, bool translated)
    {
        using var machine = new HostileMachine(seed, translated);
        for (int n = 0; n < Cases; n++)
        {
            machine.RunCase(mode);
        }

        machine.CheckSurroundings();
    }
}
