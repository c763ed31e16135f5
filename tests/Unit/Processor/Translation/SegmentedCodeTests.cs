using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>What 32-bit code has and 64-bit code has not: segments with bases, limits and rights, addresses that end at 4 GB, a second kind of code.</summary>
public sealed unsafe class SegmentedCodeTests
{
    private const ulong Rights = M.Present | M.Writable;
    private const uint Top = (uint)M.TopPage, Data = (uint)M.Data;
    private const int Rounds = 40;

    public static TheoryData<GuestMode> Modes => [GuestMode.Legacy, GuestMode.Pae, GuestMode.Compatibility];

    public static TheoryData<GuestMode, string> Of(params string[] kinds)
    {
        var data = new TheoryData<GuestMode, string>();
        foreach (var mode in (GuestMode[])[GuestMode.Legacy, GuestMode.Pae, GuestMode.Compatibility])
        {
            foreach (string kind in kinds)
            {
                data.Add(mode, kind);
            }
        }

        return data;
    }

    public static TheoryData<GuestMode, string> Violations =>
        Of("limit", "limit store", "null", "read only", "code store", "code read", "wrap", "wrap push", "wrap pop", "not flat", "expand down", "stack limit");

    public static TheoryData<GuestMode, string> Segments => Of("ds", "es", "ss", "cs");

    [Theory]
    [MemberData(nameof(Violations))]
    public void An_access_that_its_segment_does_not_allow_is_an_exception_and_changes_nothing(GuestMode mode, string kind) =>
        TranslationComparison.Run(
            m =>
            {
                m.MapTop(M.Data);
                m.Write(M.Gdt + 0x70, 0x00CF_F100_0000_FFFF);
                m.Write(M.Gdt + 0x78, 0x00CF_F700_0000_0FFF);
                m.Write(M.Gdt + 0x80, 0x0040_9300_0000_FFFF);
                m.Execute(a =>
                {
                    a.mov(eax, 0x1234_5678);
                    a.mov(ebx, Data);
                    a.mov(ecx, (uint)(kind switch
                    {
                        "limit" or "limit store" => M.LimitedData,
                        "null" => 0,
                        "read only" => 0x70,
                        "not flat" => M.ShiftedData,
                        "expand down" => 0x78,
                        "stack limit" => 0x80,
                        _ => M.BasedData,
                    }));
                    a.mov(gs, cx);
                    a.mov(edx, Rounds);
                    var again = a.CreateLabel();
                    a.Label(ref again);
                    a.add(__dword_ptr[ebx], eax);
                    a.push(eax);
                    a.pop(esi);
                    a.dec(edx);
                    a.jnz(again);
                    a.xor(esi, esi);
                    a.stc();
                    switch (kind)
                    {
                        case "limit": a.mov(eax, __dword_ptr.gs[0xFFD]); break;
                        case "limit store": a.mov(__dword_ptr.gs[0xFFE], eax); break;
                        case "null": a.mov(eax, __dword_ptr.gs[0x40]); break;
                        case "read only": a.add(eax, __dword_ptr.gs[ebx]); a.add(__dword_ptr.gs[ebx], eax); break;
                        case "code store": a.mov(__dword_ptr.cs[ebx], eax); break;
                        case "code read": a.mov(eax, __dword_ptr.cs[ebx]); break;
                        case "wrap": a.mov(eax, __dword_ptr[esi - 2]); break;
                        case "wrap push": a.mov(esp, 2); a.push(eax); break;
                        case "wrap pop": a.mov(esp, -2); a.pop(eax); break;
                        case "not flat": a.mov(__dword_ptr.gs[ebx], eax); a.mov(ds, cx); a.mov(__dword_ptr[ebx + 4], eax); break;
                        case "expand down": a.mov(ds, cx); a.mov(eax, __dword_ptr[ebx]); a.mov(eax, __dword_ptr[esi]); break;
                        default: a.mov(ss, cx); a.mov(esp, 0x1_0004); a.push(eax); break;
                    }
                });
            },
            mode: mode);

    [Theory]
    [MemberData(nameof(Segments))]
    public void Code_that_was_translated_for_flat_segments_runs_with_others_as_well(GuestMode mode, string segment) => TranslationComparison.Run(
        m =>
        {
            const uint Work = (uint)M.Code + 0x1000, Shifted = 0x70;
            m.Write(M.Gdt + Shifted, 0x00CF_9B00_0000_FFFF | (M.ShiftedBase << 16));
            m.Write(M.Gdt + 0x78, 0x00CF_9300_0000_FFFF | (M.ShiftedBase << 16));
            void Function(Assembler a)
            {
                a.add(__dword_ptr[Data + 0x100], 3);
                a.add(__dword_ptr.es[Data + 0x200], 5);
                a.push(eax);
                a.xor(eax, __dword_ptr[esp]);
                a.pop(eax);
                a.inc(eax);
                a.ret();
            }

            m.Load(Work, Function);
            m.Load(Work + M.ShiftedBase, a =>
            {
                a.add(eax, 0x100);
                a.retf();
            });
            m.Execute(a =>
            {
                a.mov(ebp, Rounds);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(Work);
                a.mov(ecx, segment == "ss" ? 0x78 : (int)M.ShiftedData);
                switch (segment)
                {
                    case "ds": a.mov(ds, cx); break;
                    case "es": a.mov(es, cx); break;
                    case "ss": a.mov(ss, cx); break;
                    default:
                        // CALL FAR.
                        a.db(0x9A);
                        a.dd(Work);
                        a.dw((ushort)Shifted);
                        break;
                }

                a.call(Work);
                a.mov(ecx, (int)M.KernelData);
                a.mov(ds, cx);
                a.mov(es, cx);
                a.mov(ss, cx);
                a.call(Work);
                a.dec(ebp);
                a.jnz(again);
            });
        },
        mode: mode);

    [Theory]
    [MemberData(nameof(Modes))]
    public void Addresses_and_code_go_round_the_end_of_4_GB(GuestMode mode) => TranslationComparison.Run(
        m =>
        {
            m.MapTop(M.Data + 0x1000);
            m.Map(0, M.Data + 0x2000, Rights);
            m.Load(M.Data + 0x1FF0, static a =>
            {
                a.nop(4);
                a.add(eax, 1);
                a.add(ecx, eax);

                // INC EDX.
                a.db(0x42);
            }, Top + 0xFF0);
            m.Memory.Slice((int)M.Data + 0x1FFC, 4).Fill(0x90);
            m.Load(M.Data + 0x2000, static a =>
            {
                a.dec(edi);
                var done = a.CreateLabel();
                a.jz(done);
                // Back to the last page, forwards.
                a.jmp(Top + 0xFF0);
                a.Label(ref done);
                a.ret();
            }, 0);
            m.Execute(a =>
            {
                a.mov(ebp, Rounds);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.mov(edi, 3);
                a.mov(esi, Top + 0xFF0);
                a.call(esi);

                // One register, from the last page to the first, where its sums have 33 bits.
                a.mov(ebx, Top + 0x800);
                a.mov(__dword_ptr[ebx], eax);
                a.add(__dword_ptr[ebx + 8], edx);
                a.add(ebx, 0x78);
                a.add(__dword_ptr[ebx + 4], 7);
                a.mov(ebx, -0x10);
                a.mov(__dword_ptr[ebx + 4], eax);
                a.add(ebx, 0x20);
                a.add(__dword_ptr[ebx - 0x18], ecx);
                a.mov(__dword_ptr[ebx + 0x40], ecx);

                // All in the last page, by a register that meanwhile is in the first; in a block of its own, where the window holds, and without stores, as there is code.
                var window = a.CreateLabel();
                a.jmp(window);
                a.Label(ref window);
                a.mov(esi, -0x40);
                a.mov(eax, __dword_ptr[esi + 4]);
                a.add(esi, 0x60);
                a.add(eax, __dword_ptr[esi - 0x50]);
                a.xor(eax, __dword_ptr[esi - 0x44]);
                var behind = a.CreateLabel();
                a.jmp(behind);
                a.Label(ref behind);
                a.mov(ecx, 0x20);
                a.mov(__dword_ptr[ecx + (ebx * 4) - 0xA0], eax);
                a.mov(esi, esp);
                a.xor(esp, esp);
                a.push(eax);
                a.push(ebx);
                a.pop(edx);
                a.pop(eax);
                a.mov(esp, esi);
                a.mov(edi, Top + 0xFF0);
                a.mov(ecx, 4);
                a.cld();
                a.rep.stosd();
                a.dec(ebp);
                a.jnz(again);
            });
        },
        m => Assert.True(m.Vector == -1 && m.Register(5) == 0, m.Describe()),
        mode: mode);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_same_bytes_run_as_64_bit_code_and_as_32_bit_code(bool polls) => TranslationComparison.Run(
        m =>
        {
            const uint Shared = (uint)M.Code + 0x1000, Narrow = (uint)M.Code + 0x2000, Wide = (uint)M.Code + 0x3000;

            // 48 is DEC EAX for the one and a prefix for the other. In a loop, so that the table of targets is used.
            m.Load(Shared, a =>
            {
                var again = a.CreateLabel();
                a.mov(ecx, 5);
                a.Label(ref again);
                a.db(0x48, 0x01, 0xC3);
                a.db(0x48, 0x83, 0xC6, 0x11);
                if (polls)
                {
                    a.cpuid();
                    a.mov(ecx, 1);
                }

                a.loop(again);
                a.ret();
            });
            m.Load(Narrow, a =>
            {
                a.mov(edx, Shared);
                a.call(edx);
                a.push(eax);
                a.push(esp);
                a.pop(eax);
                a.pop(eax);
                a.mov(__dword_ptr[Data], esp);
                a.add(__dword_ptr[Data + 4], eax);
                a.db(0xEA);
                a.dd(Wide);
                a.dw(M.KernelCode);
            });
            m.Load(Wide, a =>
            {
                a.mov(rdx, Shared);
                a.call(rdx);
                a.dec(ebp);
                var done = a.CreateLabel();
                a.jz(done);
                // To where 32-bit code begins, with something in the upper halves.
                a.mov(rsi, 0x1122_3344_5566_7788);
                a.lea(rbx, __[rsi + rsi]);
                a.mov(r15, rbx);
                a.mov(rcx, 0x7_0000_0000);
                // JMP FAR [Data + 40h].
                a.db(0xFF, 0x2C, 0x25);
                a.dd(Data + 0x40);
                a.Label(ref done);
                a.hlt();
            }, bits: 64);
            m.Write(M.Data + 0x40, Narrow | ((ulong)M.KernelCode32 << 32));
            m.Cpu.SetGeneralRegister(5, Rounds);
            m.Run(Narrow);
        },
        mode: GuestMode.Compatibility);

    [Theory]
    [MemberData(nameof(Modes))]
    public void A_loop_of_jumps_ahead_that_goes_round_4_GB_can_be_stopped(GuestMode mode)
    {
        foreach (int threshold in (int[])[0, 1, 3])
        {
            using var machine = new M(threshold, mode: mode);
            machine.MapTop(M.Data);

            // In the last page of each GB: to that of the next.
            machine.Load(M.Data, static a => a.db(0xE9, 0xFB, 0xFF, 0xFF, 0x3F), Top);
            machine.Cpu.Rip = Top;
            for (int n = 0; n < 3; n++)
            {
                var stopper = new Thread(() =>
                {
                    SpinWait.SpinUntil(() => machine.Cpu.RetiredInstructions > 100 || machine.Cpu.Tier == ProcessorTier.Translated, 5000);
                    machine.Cpu.RequestStop();
                });
                stopper.Start();
                Assert.Equal(StopReason.Requested, machine.Cpu.Run());
                stopper.Join();
            }
        }
    }
}
