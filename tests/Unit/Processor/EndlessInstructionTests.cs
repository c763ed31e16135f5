using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Processor.Translation;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using F = Hypervisor.Tests.Unit.Processor.ProcessorFixture;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Single instructions that others, or a device, could keep going without end.</summary>
public sealed unsafe class EndlessInstructionTests
{
    private const ulong Operand = F.DataAddress + 8;

    [Theory]
    [InlineData("xchg")]
    [InlineData("xadd")]
    [InlineData("add")]
    [InlineData("adc")]
    [InlineData("neg")]
    [InlineData("bts")]
    public void A_locked_operand_that_others_change_each_time_does_not_keep_the_processor_from_being_stopped(string kind)
    {
        using var fixture = new F();
        if (fixture.PagesMove)
        {
            // What is changed here is not where the page is then.
            return;
        }

        fixture.Watch(Operand);
        long changes = 0;
        byte* host = fixture.Host;
        fixture.StoreAhead = page =>
        {
            // As if another processor stored between the load and the store, and never missed a chance.
            if (page == F.DataAddress)
            {
                *(ulong*)(host + Operand) += 2;
                Interlocked.Increment(ref changes);
            }
        };
        fixture.Load(F.CodeAddress, a =>
        {
            a.stc();
            a.mov(rax, 0x1234);
            var operand = __qword_ptr[(long)Operand];
            switch (kind)
            {
                case "xchg": a.xchg(operand, rax); break;
                case "xadd": a.@lock.xadd(operand, rax); break;
                case "add": a.@lock.add(operand, rax); break;
                case "adc": a.@lock.adc(operand, rax); break;
                case "neg": a.@lock.neg(operand); break;
                default: a.@lock.bts(operand, 63); break;
            }

            a.hlt();
        });
        fixture.Cpu.Rip = F.CodeAddress;
        var reason = StopReason.Halted;
        var thread = new Thread(() => reason = fixture.Cpu.Run()) { IsBackground = true };
        thread.Start();
        SpinWait.SpinUntil(() => Interlocked.Read(ref changes) > 100 || !thread.IsAlive);
        fixture.Cpu.RequestStop();
        Assert.True(thread.Join(TimeSpan.FromMinutes(2)), "It tries for ever.");
        Assert.Equal(StopReason.Requested, reason);

        // Nothing of it shows, and it goes on when it is let.
        Assert.Equal(0x1234ul, fixture.Cpu.GetGeneralRegister(0));
        Assert.Equal(3ul, fixture.Cpu.RflagsRegister);
        Assert.Equal(2ul, fixture.Cpu.RetiredInstructions);
        Assert.Equal(0ul, fixture.Read(Operand) & 0x8000_0000_0000_0001);
        fixture.StoreAhead = null;
        ulong before = fixture.Read(Operand);
        Assert.Equal(StopReason.Halted, fixture.Cpu.Run());
        ulong expected = kind switch
        {
            "xchg" => 0x1234,
            "xadd" or "add" => before + 0x1234,
            "adc" => before + 0x1235,
            "neg" => 0 - before,
            _ => before | (1ul << 63),
        };
        Assert.Equal(expected, fixture.Read(Operand));
    }

    [Fact]
    public void A_page_table_entry_that_others_change_each_time_ends_the_walk_all_the_same()
    {
        const ulong Directory = 0xA000, Entry = Directory + 8;
        using var fixture = new F();
        if (fixture.PagesMove)
        {
            return;
        }

        byte* host = fixture.Host;
        fixture.StoreAhead = page => *(ulong*)(host + Entry) ^= page == Directory ? 0x200ul : 0;
        fixture.Load(F.CodeAddress, a =>
        {
            a.mov(rax, __qword_ptr[(long)F.DataAddress]);
            a.mov(__qword_ptr[(long)F.DataAddress], rsp);
            a.hlt();
        });
        fixture.Cpu.Rip = F.CodeAddress;
        var thread = new Thread(() => fixture.Cpu.Run()) { IsBackground = true };
        thread.Start();
        Assert.True(thread.Join(TimeSpan.FromMinutes(2)), "It walks for ever.");
        Assert.Equal(F.StackTop, fixture.Read(F.DataAddress));
        Assert.Equal(0x60ul, fixture.Read(Entry) & 0x60);
    }

    [Theory]
    [InlineData("outs")]
    [InlineData("lods")]
    [InlineData("movs")]
    [InlineData("scas")]
    [InlineData("cmps")]
    public void A_repeated_string_instruction_at_a_device_is_stopped_after_one_repetition(string kind)
    {
        const ulong Device = F.MemoryBytes;
        using var fixture = new F();
        int accesses = 0;
        fixture.Devices = _ =>
        {
            accesses++;
            fixture.Cpu.RequestStop();
            return 0;
        };
        fixture.PortWritten = () => fixture.Devices(0);
        ulong source = kind == "outs" ? F.DataAddress : Device, destination = kind == "scas" ? Device : F.DataAddress;
        var reason = fixture.Execute(a =>
        {
            a.mov(rsi, source);
            a.mov(rdi, destination);
            a.mov(ecx, 1000);
            a.mov(dx, 0x80);
            a.xor(eax, eax);
            switch (kind)
            {
                case "outs": a.rep.outsb(); break;
                case "lods": a.rep.lodsb(); break;
                case "movs": a.rep.movsb(); break;
                case "scas": a.repe.scasb(); break;
                default: a.repe.cmpsb(); break;
            }
        });

        Assert.Equal(StopReason.Requested, reason);
        Assert.Equal(1, accesses);
        Assert.Equal(999ul, fixture.Cpu.GetGeneralRegister(1));
    }

    [Fact]
    public void A_handler_of_an_NMI_that_halts_with_another_waiting_does_not_keep_the_thread_awake()
    {
        using var machine = new TranslationMachine(threshold: 0);
        machine.Cpu.InjectNmi();
        machine.Execute(a => a.nop());
        Assert.Equal((StopReason.Halted, 2), (machine.Reason, machine.Vector));
        machine.Cpu.InjectNmi();
        Assert.Equal(StopReason.Halted, machine.Cpu.Run());
        Assert.False(machine.Cpu.HasWork);
        Assert.True(machine.Cpu.IsHalted);
        machine.Cpu.RequestStop();
        Assert.True(machine.Cpu.HasWork);
    }
}
