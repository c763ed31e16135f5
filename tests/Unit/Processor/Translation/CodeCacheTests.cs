using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>A cache that is too small for the guest's code forgets the oldest of it, and nothing else is to be seen of that.</summary>
public sealed class CodeCacheTests
{
    private const int Functions = 6000;

    // The smallest consists of one region, the others of several.
    [Theory]
    [InlineData(1 << 20)]
    [InlineData(2 << 20)]
    [InlineData(4 << 20)]
    public void A_full_cache_forgets_the_oldest_and_is_filled_again(int cacheBytes) => TranslationComparison.Run(
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
                Assert.True(m.Cpu.GetStatistics().CacheEvictions > 1);
            }
        },
        cacheBytes: cacheBytes);
}
