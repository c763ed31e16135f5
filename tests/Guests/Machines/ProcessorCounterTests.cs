using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>What a machine's processors tell about themselves, from other threads and in every state of the machine.</summary>
public class ProcessorCounterTests
{
    private const int Resets = 5;

    private static byte[] EndlessLoop => GuestKernel.Assemble(static code =>
    {
        Label again = code.CreateLabel();
        code.Print("!");
        code.Label(ref again);
        code.inc(eax);
        code.jmp(again);
    });

    [Fact]
    public void A_running_guest_is_listed_where_it_is_and_goes_on()
    {
        using var guest = new TestGuest(BackendKind.Software, EndlessLoop);
        guest.Start();
        Assert.True(SpinWait.SpinUntil(() => guest.Output == "!", TestGuest.Patience));
        IReadOnlyList<GuestTranslationLine>? lines = null;
        Assert.True(SpinWait.SpinUntil(
            () => (lines = guest.Machine.DescribeTranslation(0, null))!.Any(static line => line.Guest.EndsWith("inc eax", StringComparison.Ordinal)), TestGuest.Patience));
        Assert.Equal(0, Assert.Single(guest.Machine.GetProcessorCounters()).Index);

        // In the one tier or the other, as the host allows.
        Assert.True(SpinWait.SpinUntil(() => guest.Machine.GetProcessorCounters()[0] is var counters && counters.InterpretedTime + counters.TranslatedTime > TimeSpan.Zero, TestGuest.Patience));
    }

    [Fact]
    public void A_halted_processor_answers_too()
    {
        using var guest = new TestGuest(BackendKind.Software, GuestKernel.Assemble(static code => code.Hang()), static machine => machine with { NumCpu = 2 });
        guest.Start();
        Assert.NotEmpty(guest.Machine.DescribeTranslation(0, null)!);
        Assert.NotEmpty(guest.Machine.DescribeTranslation(1, 0xF_FFF0)!);
    }

    [Fact]
    public async Task Asking_races_with_resets_and_with_the_end_without_harm()
    {
        using var guest = new TestGuest(BackendKind.Software, EndlessLoop);
        Assert.Throws<PowerStateException>(() => guest.Machine.DescribeTranslation(0, null));
        guest.Start();
        Task[] askers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            while (true)
            {
                try
                {
                    Assert.NotEmpty(guest.Machine.DescribeTranslation(0, null)!);
                    Assert.Single(guest.Machine.GetProcessorCounters());
                }
                catch (PowerStateException)
                {
                    return;
                }
            }
        }))];
        for (int n = 0; n < Resets; n++)
        {
            int before = guest.Events.Count;
            guest.Machine.Reset();
            Assert.True(SpinWait.SpinUntil(() => guest.Events.Count > before, TestGuest.Patience));
        }

        guest.Machine.PowerOff();
        await Task.WhenAll(askers).WaitAsync(TestGuest.Patience);
        Assert.Equal("guest", Assert.Single(guest.Machine.GetProcessorCounters()).VMName);
    }
}
