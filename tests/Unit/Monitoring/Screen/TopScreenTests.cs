using System.Text;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;
using Hypervisor.Engine.Network;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

/// <summary>Keys in, screens out: what esxtop's users type, and what they then see.</summary>
public sealed class TopScreenTests
{
    private const string SettingsPath = "/host/esxtop.json";

    private readonly TopKeyDecoder _decoder = new();
    private TopScreen _screen = NewScreen(new TopSettings());
    private TopSnapshot _snapshot = Snapshot();
    private int _width = 130, _height = 16;

    public TopScreenTests() => _screen.Show(_snapshot);

    private static TopScreen NewScreen(TopSettings settings) =>
        new([new EsxTopCpuPanel(null), new EsxTopNetworkPanel(static () => [], static _ => null), new EsxTopPowerPanel(new HostPowerProbe("/nowhere")), new StrangePanel()], TopColumns.Of, settings, SettingsPath);

    private static EsxTopCpuCounters World(string name, int group, int index, long up, long run, long ready) => new()
    {
        Name = name, GroupId = group, WorldId = group + index + 1, WorldName = $"vmx-vcpu-{index}:{name}", VMId = Guid.Empty, UpTimeInUsec = up, UsedTimeInUsec = run,
        RunTimeInUsec = run, ReadyTimeInUsec = ready, CoStopTimeInUsec = 0, WaitTimeInUsec = up - run - ready, IdleTimeInUsec = 0, MaxLimitedTimeInUsec = 0, GroupSwapWaitTimeInUsec = 0, Dispatches = 0, Migrations = 0, HomeNode = -1, LargestSkewInUsec = 0,
    };

    private static TopSnapshot Snapshot(params string[] elsewhere)
    {
        IEsxTopCounters[] before = [World("web", 100, 0, 0, 0, 0), World("web", 100, 1, 0, 0, 0), World("database-of-the-shop", 200, 0, 0, 0, 0)];
        IEsxTopCounters[] after = [World("web", 100, 0, 1000, 200, 100), World("web", 100, 1, 1000, 100, 50), World("database-of-the-shop", 200, 0, 1000, 700, 250)];
        var strange = new StrangePanel.Counted[] { new("a"), new("b") };
        return new TopSnapshot
        {
            Time = new DateTime(2026, 3, 4, 15, 6, 7), UpTime = new TimeSpan(2, 3, 4, 5), Machines = 2, Worlds = 3, LoadAverages = [0.5, 0.25, 1], Elsewhere = elsewhere,
            Panels = new Dictionary<string, (IReadOnlyList<IEsxTopCounters> Before, IReadOnlyList<IEsxTopCounters> After)> { ["Cpu"] = (before, after), ["Network"] = ([], []), ["Memory"] = (strange, strange) },
        };
    }

    private TopRequest Type(string keys)
    {
        TopRequest last = TopRequest.None;
        foreach (TopKey key in _decoder.Decode(Encoding.UTF8.GetBytes(keys)).Concat(_decoder.Flush()))
        {
            last = _screen.Press(key);
        }

        return last;
    }

    private string[] Lines()
    {
        var buffer = new ScreenBuffer(_width, _height);
        _screen.Draw(buffer);

        // What is drawn is what a terminal shows.
        var terminal = new VirtualTerminal(_width, _height);
        terminal.Send(new ScreenPainter(colours: true).Paint(buffer));
        return [.. Enumerable.Range(0, _height).Select(y => terminal[y])];
    }

    private string[] Names() => [.. Lines().Skip(3).Where(static line => line.Length > 0).Select(static line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[2])];

    private string Message() => Lines()[1];

    [Fact]
    public void The_screen_looks_as_esxtops()
    {
        string[] lines = Lines();
        Assert.Equal("15:06:07 up 2 days 3:04, 3 worlds, 2 VMs, 3 vCPUs; CPU load average: 0.50, 0.25, 1.00", lines[0]);
        Assert.Equal("", lines[1]);
        Assert.Equal(" ID GID NAME                 NWLD %USED  %RUN %SYS  %WAIT %VMWAIT  %RDY %IDLE %OVRLP %CSTP %MLMTD %SWPWT", lines[2]);
        Assert.Equal("100 100 web                     2 30.00 30.00 0.00 155.00  155.00 15.00  0.00   0.00  0.00   0.00   0.00", lines[3]);
        Assert.Equal("200 200 database-of-the-shop    1 70.00 70.00 0.00   5.00    5.00 25.00  0.00   0.00  0.00   0.00   0.00", lines[4]);
        Assert.All(lines[5..], static line => Assert.Equal("", line));
    }

    [Fact]
    public void Numbers_worth_a_look_stand_out_and_count_the_virtual_processors()
    {
        var buffer = new ScreenBuffer(_width, _height);
        _screen.Draw(buffer);
        int ready = buffer.LineText(2).IndexOf("%RDY", StringComparison.Ordinal);
        Assert.Equal((CellStyle.Plain, CellStyle.Alert), (buffer[ready, 3].Style, buffer[ready, 4].Style));
    }

    [Fact]
    public void Sorting_is_by_esxtops_keys_or_by_the_next_column()
    {
        Assert.Equal(["web", "database-of-the-shop"], Names());
        Type("U");
        Assert.Equal("Sorted by %USED.", Message());
        Assert.Equal(["database-of-the-shop", "web"], Names());
        Type("N");
        Assert.Equal(["web", "database-of-the-shop"], Names());
        Type(">>>>");
        Assert.Equal("Sorted by NWLD.", Message());
        Assert.Equal(["web", "database-of-the-shop"], Names());
        Type("<");
        Assert.Equal("Sorted by NAME.", Message());
        Assert.Equal(["database-of-the-shop", "web"], Names());
        Type("<<<<<<");
        Assert.Equal("Lines stand in their own order.", Message());
    }

    [Fact]
    public void A_columns_letter_goes_with_it_when_it_is_moved()
    {
        Type("oFF");
        Assert.Contains(Lines(), static line => line.Contains("F: %RUN", StringComparison.Ordinal));
        Type(" ");
        Assert.StartsWith(" ID GID NAME                  %RUN NWLD %USED", Lines()[2], StringComparison.Ordinal);
        Type("of fF ");
        Assert.StartsWith(" ID GID NAME                 NWLD %USED", Lines()[2], StringComparison.Ordinal);
        Assert.DoesNotContain("%RUN", Lines()[2], StringComparison.Ordinal);
    }

    [Fact]
    public void A_group_is_expanded_and_rolled_up_by_name_or_number()
    {
        Type("eweb\r");
        Assert.Equal(["vmx-vcpu-0:web", "vmx-vcpu-1:web", "database-of-the-shop"], Names());
        Type("e101\r");
        Assert.Equal(["web", "database-of-the-shop"], Names());
        Type("e*\r");
        Assert.Equal(["vmx-vcpu-0:web", "vmx-vcpu-1:web", "vmx-vcpu-0:database…"], Names());
        Type("e200\r");
        Assert.Equal(["vmx-vcpu-0:web", "vmx-vcpu-1:web", "database-of-the-shop"], Names());
        Type("enobody\r");
        Assert.Equal("There is nothing called 'nobody' here.", Message());
    }

    [Fact]
    public void One_group_alone_can_be_shown()
    {
        Type("l200\r");
        Assert.Equal(["database-of-the-shop"], Names());
        Type("lnobody\r");
        Assert.Equal("There is nothing called 'nobody' here.", Message());
        Assert.Equal(["database-of-the-shop"], Names());
        _screen.Show(_snapshot with { Panels = new Dictionary<string, (IReadOnlyList<IEsxTopCounters>, IReadOnlyList<IEsxTopCounters>)> { ["Cpu"] = ([], []) } });
        Assert.Contains("'database-of-the-shop' is not there now. l and Enter show all.", Lines());
        _screen.Show(_snapshot);
        Type("l\r");
        Assert.Equal(2, Names().Length);
    }

    [Fact]
    public void A_question_can_be_corrected_and_given_up()
    {
        Type("eno\u007f\u007fweX\u007f");
        Assert.Equal("Name or number to expand or roll up, * for all: we_", Message());
        Type("b\r");
        Assert.Equal(3, Names().Length);
        Type("e200\u0015100\r");
        Assert.Equal(2, Names().Length);
        Type("eweb\e");
        Assert.Equal((2, ""), (Names().Length, Message()));
    }

    [Theory]
    [InlineData("s0.1\r", "'0.1' is no time in seconds from 0.5 to 86400.")]
    [InlineData("sfast\r", "'fast' is no time in seconds from 0.5 to 86400.")]
    [InlineData("sNaN\r", "'NaN' is no time in seconds from 0.5 to 86400.")]
    [InlineData("#-1\r", "'-1' is no number from 0 to 10000.")]
    [InlineData("#99999999999999999999\r", "'99999999999999999999' is no number from 0 to 10000.")]
    [InlineData("L201\r", "'201' is no number from 0 to 200.")]
    [InlineData("z", "'z' does nothing here. h explains the keys.")]
    public void Bad_answers_are_refused_with_what_would_be_good(string keys, string message)
    {
        Type(keys);
        Assert.Equal(message, Message());
        Assert.Equal(TimeSpan.FromSeconds(5), _screen.Delay);
    }

    [Fact]
    public void Delay_lines_and_length_of_names_can_be_set()
    {
        Assert.Equal(TopRequest.Refresh, Type("s2.5\r"));
        Assert.Equal(TimeSpan.FromSeconds(2.5), _screen.Delay);
        Type("#1\r");
        Assert.Equal(["web"], Names());
        Type("#0\rL6\r");
        Assert.Equal(["web", "datab…"], Names());
        Type("L0\re*\r");
        Assert.Equal("vmx-vcpu-0:database-of-the-shop", Names()[2]);
    }

    [Fact]
    public void Columns_are_shown_hidden_and_moved()
    {
        _height = 30;
        Type("f");
        Assert.Equal(["Columns of the panel Cpu", "A letter shows or hides its column; any other key goes back.", "", "* A: ID = Id", "* B: GID = GroupId"], Lines()[..5]);
        Type("ab");
        Assert.StartsWith("  A: ID = Id", Lines()[3], StringComparison.Ordinal);
        Type("\r");
        Assert.StartsWith("NAME                 NWLD %USED", Lines()[2], StringComparison.Ordinal);

        // NWLD, the fourth, goes left past NAME and to the hidden ones; NAME goes right.
        Type("oD");
        Assert.StartsWith("Columns of the panel Cpu in their order", Lines()[0], StringComparison.Ordinal);
        Type(" ");
        Assert.StartsWith("NWLD NAME                 %USED", Lines()[2], StringComparison.Ordinal);
        Type("oc \r");
        Assert.StartsWith("NWLD %USED NAME ", Lines()[2], StringComparison.Ordinal);
        Type("oA1");
        Assert.StartsWith("NWLD %USED NAME ", Lines()[2], StringComparison.Ordinal);
    }

    [Fact]
    public void Where_letters_end_digits_go_on()
    {
        // What esxtop's memory panel has in columns is more than the alphabet.
        (string[] labels, _height) = ([.. Enumerable.Range(0, 30).Select(static i => $"C{i}")], 40);
        _screen = new TopScreen([new EsxTopCpuPanel(null)], _ => [.. labels.Select(static label => new TopColumn(label, label, true, null, static _ => 1))], new TopSettings(), SettingsPath);
        _screen.Show(_snapshot);
        Type("f13");
        Assert.Equal("  1: C27 = C27", Lines()[30]);
        Assert.Equal("* 2: C28 = C28", Lines()[31]);
        Type("\ro2");
        Assert.Equal(["* 0: C26 = C26", "* 2: C28 = C28", "  1: C27 = C27", "  3: C29 = C29"], Lines()[29..33]);
    }

    [Fact]
    public void The_last_column_cannot_be_hidden()
    {
        Type("f" + string.Concat(Enumerable.Range(0, 15).Select(static i => (char)('a' + i))));
        Assert.Equal("One column has to stay.", Lines()[2]);
        Type("\r");
        Assert.Equal("%SWPWT", Lines()[2].Trim());
    }

    [Fact]
    public void Panels_change_by_esxtops_keys_and_missing_ones_are_said_to_be()
    {
        Type("n");
        Assert.Equal("Network", _screen.Panel.Name);
        Assert.StartsWith("PORT-ID USED-BY TEAM-PNIC DNAME PKTTX/s", Lines()[2], StringComparison.Ordinal);
        Assert.Equal("No machine runs in this process that this panel could show.", Lines()[3]);
        Type("d");
        Assert.Equal("There is no disk adapter panel yet.", Message());
        Assert.Equal("Network", _screen.Panel.Name);

        // A panel that costs much has no numbers before somebody looks at it.
        Assert.Equal(TopRequest.Refresh, Type("p"));
        Assert.True(_screen.NeedsNumbers);
        Assert.Equal("The first numbers come in a moment.", Lines()[3]);
        Assert.Equal(TopRequest.None, Type("c"));
        Assert.Equal(2, Names().Length);
    }

    [Fact]
    public void Any_panel_can_be_shown_also_one_without_a_view()
    {
        Type("m");
        string[] lines = Lines();
        Assert.Equal("all is well", lines[1]);
        Assert.Equal("Name Size Note", lines[3].Trim());
        Assert.Equal(["a       1 good", "b       - good"], lines[4..6]);
        Type("M");
        Assert.Equal("This panel has no column MEMSZ.", Lines()[2]);
        Type(">>");
        Assert.Equal("Sorted by Size.", Lines()[2]);
    }

    [Fact]
    public void Only_machines_leaves_the_host_out()
    {
        Type("mV");
        Assert.Equal("Only machines are shown.", Lines()[2]);
        Assert.Equal(["a       1 good", ""], Lines()[4..6]);
        Type("V");
        Assert.Equal("b       - good", Lines()[5]);
    }

    [Fact]
    public void A_narrow_terminal_shows_whole_columns_and_says_that_there_are_more()
    {
        _width = 40;
        string[] lines = Lines();
        Assert.Equal(" ID GID NAME                 NWLD %USED>", lines[2]);
        Assert.Equal("100 100 web                     2 30.00", lines[3]);
        Type("\e[C\e[C\e[C");
        Assert.Equal("NAME                 %USED  %RUN %SYS  >", Lines()[2]);
        Type("\e[D\e[D\e[D\e[D");
        Assert.Equal(" ID GID NAME                 NWLD %USED>", Lines()[2]);
        for (_width = 1; _width < 60; _width++)
        {
            Assert.All(Lines(), line => Assert.True(TextCells.WidthOf(line) <= _width));
        }
    }

    [Fact]
    public void Every_size_can_be_drawn_in_every_mode()
    {
        foreach (string keys in (string[])["", "h", "xf", "\ro", "\re*\r", "swhat", "\em", "n"])
        {
            Type(keys);
            for (_height = 1; _height < 8; _height++)
            {
                for (_width = 1; _width < 20; _width += 3)
                {
                    Lines();
                }
            }
        }
    }

    [Fact]
    public void Lines_that_do_not_fit_are_scrolled_to()
    {
        _height = 4;
        Assert.Equal(["web"], Names());
        Type("\e[B");
        Assert.Equal(["database-of-the-shop"], Names());
        Type("\e[B\e[6~");
        Assert.Equal(["database-of-the-shop"], Names());
        Type("\e[H");
        Assert.Equal(["web"], Names());
        Type("\e[F");
        Assert.Equal(["database-of-the-shop"], Names());
        Type("\e[5~");
        Assert.Equal(["web"], Names());
    }

    [Fact]
    public void A_message_takes_the_lines_that_it_needs()
    {
        _width = 40;
        _screen.Say("'/host/esxtop.json' cannot be used: it has schemaVersion 7, and this version of Hypervisor reads 1 to 1. W writes a new one.");
        Assert.Equal(
            ["'/host/esxtop.json' cannot be used: it", "has schemaVersion 7, and this version of", "Hypervisor reads 1 to 1. W writes a new", "one.", " ID GID NAME                 NWLD %USED>"], Lines()[1..6]);
        Type("N");
        Assert.Equal("Lines stand in their own order.", Message());
    }

    [Fact]
    public void Machines_of_other_processes_are_named_with_who_has_them()
    {
        _screen.Show(_snapshot = Snapshot("mail: in process 17 (hv); the numbers are there.", "old: in process 18 (pwsh); the numbers are there."));
        Assert.Equal(["mail: in process 17 (hv); the numbers are there.", "old: in process 18 (pwsh); the numbers are there."], Lines()[^2..]);
        _screen.Show(_snapshot with { Elsewhere = [.. Enumerable.Range(0, 9).Select(static i => $"m{i}: elsewhere")] });
        Assert.Equal(["m0: elsewhere", "m1: elsewhere", "Machines of this host folder run in 7 more processes."], Lines()[^3..]);
    }

    [Theory]
    [InlineData(85, "15:06:07 up 2 days 3:04, 3 worlds, 2 VMs, 3 vCPUs; CPU load average: 0.50, 0.25, 1.00")]
    [InlineData(84, "15:06:07 up 2 days 3:04, 3 worlds, 2 VMs, 3 vCPUs; CPU load average: 0.50, 0.25, …")]
    [InlineData(80, "15:06:07 up 2 days 3:04, 3 worlds, 2 VMs, 3 vCPUs; CPU load average: 0.50, …")]
    [InlineData(12, "15:06:07 …")]
    public void Lines_at_the_top_are_cut_between_numbers(int width, string line)
    {
        _width = width;
        Assert.Equal(line, Lines()[0]);
    }

    [Theory]
    [InlineData("h")]
    [InlineData("o")]
    [InlineData("f")]
    public void Texts_that_explain_fit_80_columns(string key)
    {
        (_width, _height) = (200, 40);
        Type(key);
        Assert.InRange(Lines().Max(static line => line.Length), 20, 80);
    }

    [Fact]
    public void Help_names_the_panels_own_sort_keys_and_any_key_goes_back()
    {
        Type("nh");
        Assert.Contains(Lines(), static line => line.Contains("t PKTTX/s  r PKTRX/s  T MbTX/s  R MbRX/s  N own order", StringComparison.Ordinal));
        Assert.Equal(TopRequest.None, Type("q"));
        Assert.StartsWith("PORT-ID", Lines()[2], StringComparison.Ordinal);
    }

    [Fact]
    public void Keys_ask_for_what_the_screen_cannot_do_itself()
    {
        Assert.Equal(TopRequest.Refresh, Type(" "));
        Assert.Equal(TopRequest.Repaint, Type("\f"));
        Assert.Equal(TopRequest.Quit, Type("q"));
        Assert.Equal(TopRequest.Quit, Type("\u0003"));
        Assert.Equal(TopRequest.Quit, Type("s12\u0003"));
        Type("\eW");
        Assert.Equal($"Write what is chosen to {SettingsPath}? (y/n) _", Message());
        Assert.Equal(TopRequest.None, Type("n"));
        Assert.Equal("", Message());
        Assert.Equal(TopRequest.Write, Type("Wy"));
        Assert.Equal("", Message());
    }

    [Fact]
    public void What_was_chosen_is_there_again_after_it_was_kept()
    {
        Type("fab\roD\rU#7\rL9\rs3\rV");
        TopSettings kept = _screen.Describe();
        _screen = NewScreen(kept);
        _screen.Show(_snapshot);
        Assert.Equal(TimeSpan.FromSeconds(3), _screen.Delay);
        Assert.StartsWith("NWLD NAME      %USED", Lines()[2], StringComparison.Ordinal);
        Assert.StartsWith("   1 database…", Lines()[3], StringComparison.Ordinal);
        Assert.Equal(kept.Panels.Single(static panel => panel.Name == "Cpu").Columns, _screen.Describe().Panels.Single(static panel => panel.Name == "Cpu").Columns);
        Assert.Equal((7, 9, true, "%USED"), (kept.Lines, kept.NameLength, kept.OnlyMachines, kept.Panels.Single(static panel => panel.Name == "Cpu").Sort));
    }

    [Fact]
    public void Columns_that_a_host_does_not_have_are_passed_over()
    {
        _screen = NewScreen(new TopSettings { Panels = [new TopPanelSettings { Name = "Cpu", Columns = ["%RDY", "%GONE", "%RDY", "NAME"], Hidden = ["ID", "%ELSE"], Sort = "%GONE" }] });
        _screen.Show(_snapshot);
        Assert.StartsWith(" %RDY NAME                 GID NWLD", Lines()[2], StringComparison.Ordinal);
    }

    [Fact]
    public void Random_keys_on_random_screens_do_no_harm()
    {
        var random = new Random(17);
        string keys = "cmdunpihfoeVlLW#s<>NURqy*ab01 \r\u007f\u0015\f";
        for (int i = 0; i < 3000; i++)
        {
            Type(random.Next(8) == 0 ? "\e[" + "ABCDHF"[random.Next(6)] : keys[random.Next(keys.Length)].ToString());
            (_width, _height) = (1 + random.Next(140), 1 + random.Next(20));
            Lines();
        }
    }

    /// <summary>A panel as others write them, without a table view.</summary>
    private sealed class StrangePanel : EsxTopPanel
    {
        public override string Name => "Memory";

        public override IReadOnlyList<IEsxTopCounters> Take() => [];

        public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand) =>
            [.. after.Select(static counted => new Row(counted.Name, counted.Name == "a" ? 1 : null))];

        public override IReadOnlyList<string> Summarize(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after) => ["all is well"];

        public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after) => [];

        public sealed record Counted(string Name) : IEsxTopCounters;

        private sealed class Row(string name, int? size) : IEsxTopRow
        {
            public string Name => name;

            public int? Size => size;

            public string Note => "good";

            bool IEsxTopRow.IsOfMachine => size is not null;
        }
    }
}
