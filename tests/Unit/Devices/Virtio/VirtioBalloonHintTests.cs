using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Memory;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioBalloonHintTests : IDisposable
{
    private const int Hints = 3, Reports = 4;
    private const uint Stop = 0, Done = 1, Page = 0x80_0000, Bytes = 0x4000;
    private const ulong PoisonFeature = 1 << 4, ReportingFeature = 1 << 5;

    private readonly ManualMachineClock _clock = new();
    private readonly MockVirtioDriver _driver;

    public VirtioBalloonHintTests()
    {
        _driver = new MockVirtioDriver(memory => new VirtioBalloon(memory, _clock, default));
        _driver.Start(~(ReportingFeature | PoisonFeature));
    }

    private VirtioBalloon Balloon => (VirtioBalloon)_driver.Device;

    private uint Command => (uint)_driver.Bus.ReadMmio(_driver.DeviceConfig + 8, 4);

    public void Dispose() => _driver.Dispose();

    [Fact]
    public void A_driver_is_asked_and_what_it_names_is_released()
    {
        Assert.Equal((true, false, Stop), (Balloon.CanHint, Balloon.IsHinting, Command));
        Use();
        uint number = Ask();
        Assert.True(number >= 2);
        Assert.Contains((0xFEE0_0000ul, 0x40u), _driver.Messages.Messages);
        Number(number);
        Name();
        Assert.True(IsGone());
        Assert.Equal((Bytes, Bytes), (Balloon.HintedBytes, Balloon.ReleasedBytes));
        Assert.True(Balloon.IsHinting);
        Number(Stop);
        Assert.Equal((Done, false), (Command, Balloon.IsHinting));

        // It is not asked twice by the same number.
        Assert.NotEqual(number, Ask());
    }

    [Fact]
    public void What_was_used_after_the_question_stays()
    {
        Use();
        Number(Ask());
        _driver.Memory.TryWrite(Page + 4096, 5ul);
        Name();
        Assert.Equal(5, _driver.ReadMemory(Page + 4096, 1)[0]);
        Assert.Equal(Bytes - 4096, Balloon.HintedBytes);
    }

    [Fact]
    public void What_is_named_after_the_end_stays()
    {
        Use();
        uint number = Ask();
        Number(number);
        Number(Stop);
        Name();
        Number(number);
        Name();
        Number(Done);
        Name();
        Assert.False(IsGone());
    }

    [Fact]
    public void What_is_named_without_the_number_of_the_question_stays()
    {
        Use();
        Name();
        uint number = Ask();
        Name();
        foreach (uint other in (uint[])[Stop, Done, number - 1, number + 1, uint.MaxValue])
        {
            Number(other);
            Name();
        }

        Assert.False(IsGone());
        Assert.Equal(number, Command);
        Number(number);
        Number(number);
        Name();
        Assert.True(IsGone());
    }

    [Fact]
    public void An_answer_to_an_earlier_question_is_none()
    {
        Use();
        uint first = Ask();
        _clock.Advance(10_000_000_000);
        MockVirtioDriver.WaitFor(() => Command == Done);
        uint second = Ask();
        Number(first);
        Name();
        Number(Stop);
        Assert.False(IsGone());
        Assert.Equal(second, Command);
        Number(second);
        Name();
        Assert.True(IsGone());
    }

    [Fact]
    public void A_driver_that_does_not_answer_has_its_memory_back_in_time()
    {
        Ask();
        _clock.Advance(9_000_000_000);
        Assert.True(Balloon.IsHinting);
        _clock.Advance(1_000_000_000);
        MockVirtioDriver.WaitFor(() => Command == Done);
        Assert.False(Balloon.IsHinting);
    }

    [Fact]
    public void A_reset_ends_the_question()
    {
        Use();
        uint number = Ask();
        Number(number);
        _driver.Start(~(ReportingFeature | PoisonFeature));
        Assert.Equal((Stop, false), (Command, Balloon.IsHinting));
        Name();
        Assert.False(IsGone());
        Assert.True(Ask() > number);
    }

    [Theory]
    [InlineData(3u)]
    [InlineData(5u)]
    [InlineData(4096u)]
    public void A_number_of_another_size_is_none(uint length)
    {
        Use();
        uint number = Ask();
        Number(number);
        _driver.Request(Hints, (_driver.AllocateWith([.. BitConverter.GetBytes(number), .. new byte[4092]]), length, false));
        Name();
        Assert.False(IsGone());
        Assert.Equal(0, _driver.Device.GuestErrors);
    }

    [Fact]
    public void A_number_in_pieces_with_pages_after_it_is_one()
    {
        Use();
        ulong number = _driver.AllocateWith(BitConverter.GetBytes(Ask()));
        _driver.Request(Hints, (number, 1, false), (number + 1, 3, false), (Page, 0x1000, true), (Page + 0x1000, Bytes - 0x1000, true));
        Assert.True(IsGone());
    }

    [Fact]
    public void Parts_of_pages_stay()
    {
        Use();
        Number(Ask());
        _driver.Request(Hints, (Page + 1, Bytes - 2, true));
        Assert.Equal(Bytes - 8192, Balloon.HintedBytes);
        Assert.Equal((1, 1), (_driver.ReadMemory(Page, 1)[0], _driver.ReadMemory(Page + Bytes - 4096, 1)[0]));
    }

    // Nobody is asked who reports by itself, who wants to find something in free pages, or who does not know hints.
    [Theory]
    [InlineData(ulong.MaxValue, 0u, false)]
    [InlineData(~ReportingFeature, 0u, true)]
    [InlineData(~ReportingFeature, 0xAAAA_AAAAu, false)]
    [InlineData(~(ReportingFeature | PoisonFeature), 0xAAAA_AAAAu, true)]
    [InlineData(~(ReportingFeature | 8), 0u, false)]
    public void Only_who_has_something_to_say_is_asked(ulong features, uint poison, bool asked)
    {
        _driver.Start(features);
        _driver.Bus.WriteMmio(_driver.DeviceConfig + 12, 4, poison);
        Assert.Equal(asked, Balloon.CanHint);
        Balloon.RequestHints();
        Assert.Equal(asked, Balloon.IsHinting);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reported_pages_that_are_to_keep_a_value_stay(bool inPieces)
    {
        _driver.Start();
        Use();
        if (inPieces)
        {
            _driver.Bus.WriteMmio(_driver.DeviceConfig + 15, 1, 0xAA);
        }
        else
        {
            _driver.Bus.WriteMmio(_driver.DeviceConfig + 12, 4, 0xAAAA_AAAA);
            Assert.Equal(0xAAAA_AAAAul, _driver.Bus.ReadMmio(_driver.DeviceConfig + 12, 4));
        }

        _driver.Request(Reports, (Page, Bytes, true));
        Assert.False(IsGone());

        // Zeroes are what released pages read as.
        _driver.Start();
        _driver.Request(Reports, (Page, Bytes, true));
        Assert.True(IsGone());
    }

    [Fact]
    public void A_balloon_without_reporting_takes_no_reports()
    {
        using var driver = new MockVirtioDriver(memory => new VirtioBalloon(memory, _clock, default, offersReporting: false));
        driver.Start();
        Assert.Equal(0ul, driver.Features & ReportingFeature);
        driver.Memory.TryWrite(Page, 1ul);
        driver.Request(Reports, (Page, 4096, true));
        Assert.Equal(1, driver.ReadMemory(Page, 1)[0]);
    }

    private void Use()
    {
        for (uint at = Page; at < Page + Bytes; at += 4096)
        {
            _driver.Memory.TryWrite(at, 1ul);
        }
    }

    private uint Ask()
    {
        _driver.Pages.BeginHinting();
        Balloon.RequestHints();
        MockVirtioDriver.WaitFor(() => Command >= 2);
        return Command;
    }

    private void Number(uint number) => _driver.Request(Hints, (_driver.AllocateWith(BitConverter.GetBytes(number)), 4, false));

    private void Name() => _driver.Request(Hints, (Page, Bytes, true));

    private bool IsGone()
    {
        var states = Enumerable.Range(0, (int)(Bytes / 4096)).Select(page => _driver.Pages.EntryOf((int)(Page / 4096) + page).State).Distinct();
        return Assert.Single(states) == PageState.Untouched;
    }
}
