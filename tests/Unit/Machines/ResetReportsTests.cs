using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Machines;

public sealed class ResetReportsTests
{
    [Fact]
    public void A_guest_that_resets_itself_all_the_time_does_not_fill_the_log()
    {
        var reports = new ResetReports();
        for (int n = 0; n < ResetReports.Limit; n++)
        {
            Assert.Equal("The machine was reset by the guest.", reports.Note(n, "the guest"));
        }

        for (int n = 0; n < 25; n++)
        {
            Assert.Null(reports.Note(100, "the guest"));
        }

        Assert.Equal("The machine was reset by the user. 25 resets before this one came too fast to be told.", reports.Note(ResetReports.Window, "the user"));
        Assert.Equal("The machine was reset by the user.", reports.Note(ResetReports.Window, "the user"));
    }
}
