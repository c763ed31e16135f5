using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>A cache that is too small for the guest's code is emptied, and nothing else is to be seen of it.</summary>
public sealed class CodeCacheTests
{
    private const int Functions = 6000;

    [Fact]
    public void A_full_cache_is_forgotten_and_filled_again() => TranslationComparison.Run(
        m =>
        {
            // A chain of functions of a few blocks each; all of it several times.
            ulong at = M.Code + 0x1000;
            for (int n = 0; n < Functions; n++)
            {
                ulong next = at + 32;
                m.Load(at, a =>
                {
                    var even = a.CreateLabel();
                    a.add(rax, n);
                    a.test(al, 1);
                    a.jz(even);
                    a.xor(rdx, rax);
                    a.Label(ref even);
                    a.rol(rdx, 3);
                    a.jmp(n == Functions - 1 ? M.Code + 0x800 : next);
                });
                at = next;
            }

            m.Load(M.Code + 0x800, a => a.ret());
            m.Execute(a =>
            {
                var again = a.CreateLabel();
                a.mov(ecx, 5);
                a.Label(ref again);
                a.call(M.Code + 0x1000);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m =>
        {
            Assert.Equal(5ul * Functions * (Functions - 1) / 2, m.Register(0));
            if (m.Translates && TranslationSupport.IsAvailable)
            {
                Assert.True(m.Cpu.GetStatistics().CacheFlushes > 1);
            }
        },
        cacheBytes: 1 << 20);
}
