using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Machines;

public class CrashLoopDetectorTests
{
    private const long Second = 1_000_000_000;

    [Fact]
    public void Crashes_in_a_row_soon_after_boot_are_a_loop()
    {
        var detector = new CrashLoopDetector();
        long now = 0;
        detector.NoteBoot(now, afterCrash: false);
        for (int crash = 1; crash < CrashLoopDetector.Limit; crash++)
        {
            Assert.False(detector.NoteCrash(now += Second));
            detector.NoteBoot(now, afterCrash: true);
        }

        Assert.True(detector.NoteCrash(now + Second));
    }

    [Fact]
    public void A_machine_that_ran_before_it_crashed_is_in_no_loop()
    {
        var detector = new CrashLoopDetector();
        long now = 0;
        for (int crash = 0; crash < 10; crash++)
        {
            Assert.False(detector.NoteCrash(now += CrashLoopDetector.BootedAfter + Second));
            detector.NoteBoot(now, afterCrash: true);
        }
    }

    [Fact]
    public void A_reset_that_was_asked_for_breaks_the_row()
    {
        var detector = new CrashLoopDetector();
        for (int round = 0; round < 10; round++)
        {
            Assert.False(detector.NoteCrash(Second));
            detector.NoteBoot(Second, afterCrash: false);
        }
    }
}
